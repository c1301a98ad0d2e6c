// Package storage keeps what must survive a power cut: trusted metadata and records in one bbolt file, metadata
// over 64 KiB beside it, the floors in a file of their own, and images as plain files.
//
// The state directory, all of it 0700 and 0600, and never reached through a symbolic link:
//
//	agent.db            bbolt: metadata, the chain of roots, receipts, records, events, time floor, operator's wishes
//	agent.db.corrupt-N  databases that were damaged; the newest few are kept, until an image needs their room
//	floors              two alternating records, overwritten in place
//	meta/SHA256         metadata over 64 KiB
//	partial/ID, .tag    images on their way, and how much of each is durable
//	images/ID           verified images
//	reserve             blocks that are given up first when the disk is full
//
// What it promises: a commit that returned is durable, a commit that did not return is there whole or not at
// all, one that is refused (beyond a bound, or a large document without room) has changed nothing, floors never fall
// with the database, a torn or flipped byte is noticed, and what changes nothing writes nothing. What it does not: it
// trusts the directory against accident, not against root, and it judges neither signatures nor versions.
//
// Every change of the file system goes through disk (durable.go), which counts it and lets tests fail it.
package storage
