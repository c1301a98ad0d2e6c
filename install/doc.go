// Package install speaks the hook protocol (docs/hooks.md): it runs the executable that knows a component's two
// slots, hands it a verified image, and judges a running release. It holds no policy: what to run, and when, is
// decided in package agent.
//
// What it promises, whatever the hook does:
//
//   - No shell: the verb and the slot are arguments, everything else is in an environment built from an allow-list.
//   - A hook never sees the end of an image that is not the verified one: bytes are hashed on their way, and the last
//     block is handed over only once the whole image has passed.
//   - A hook that did not read its image to the end has failed, even if it exits with 0.
//   - A booted or mounted slot is not written.
//   - Every run is bounded: in time, in memory, in the text that it leaves behind.
//   - Before a verb starts, what is left of the component's previous hook has ended, even if the agent that started it
//     died.
//
// The last promise needs an identity that outlives the agent and can't be mistaken. A process ID in a file
// could be torn, or be reused; a cgroup needs rights and a hierarchy that small devices do not have; a
// subreaper dies with the agent. So each hook carries a mark in its environment, which its children inherit,
// also when they drop their rights: the session it was started in, the component, and a proof of both that
// nobody can make who does not know this boot's secret. A process that carries the mark of its own session is
// the hook's; one that left the session (setsid) is a service that the hook started on purpose, and one that
// copied the mark from elsewhere is nobody's. It is signalled through a pidfd that was opened before the mark
// was read, so a reused process ID is never hit.
package install
