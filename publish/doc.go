// Package publish builds and signs TUF repositories: plain files that any static server can hand out.
//
// It is the publisher's side of the project. A device never links it: here live private keys, and code that trusts
// the machine it runs on. It reads no clock; whoever calls says what time it is.
//
// # What lies where
//
//	DIR/publisher.json            the publisher's settings and rollback memory; its presence says that init finished
//	DIR/keys/NAME.key             private keys, encrypted; may live elsewhere
//	DIR/staged/ROLE.json          edits that are not published yet, with the signatures gathered so far
//	DIR/repo/metadata/            N.root.json N.targets.json N.snapshot.json timestamp.json
//	DIR/repo/targets/             images, named HASH.NAME (consistent snapshots, TUF 6.2)
//
// DIR/repo is uploaded as it is. Everything else stays with the publisher.
//
// # What it promises
//
// A publisher who dies between any two writes leaves a repository that devices accept: the old one or the new one.
// Every file appears whole, by rename, after its bytes are durable; a file with a version in its name never changes
// once it is there; what refers to a file is written after it. The next run goes on where the last one stopped.
// Versions, signing times and rollback indexes never go backwards unless forced by name.
package publish
