// Package mqtt lets a broker wake the agent and shows the agent's status and what happened there. The broker
// is trusted with nothing: a wake is a hint that never chooses what is installed, what the broker sends is
// bounded before it is parsed, and an agent without a broker keeps itself up to date by polling.
//
// Topics, below a prefix that the config names (docs/mqtt.md shows how to set a broker up and wake devices):
//
//	PREFIX/wake                subscribed   for the whole fleet
//	PREFIX/group/GROUP/wake    subscribed   for a group
//	PREFIX/device/ID/wake      subscribed   for this device
//	PREFIX/device/ID/status    published    the status document, retained
//	PREFIX/device/ID/online    published    "1" while connected, "0" by last will, retained
//	PREFIX/device/ID/event     published    what happened, in order and at least once (docs/events.md)
package mqtt
