// Package writelog reads a log of all that a machine wrote to its disk, and makes from it what the disk may hold after a
// power cut.
//
// The format is that of Linux's dm-log-writes target, which QEMU's block driver blklogwrites writes as well: a
// superblock in the log's first sector, and then for each request a sector with an entry, followed by its data.
// Requests stand in the order in which the device completed them.
//
// What a power cut may leave: all that was completed before the last flush that had completed; of what was written
// after it any part, in any order, and of each write any of its sectors. A sector itself is written whole or not at all,
// and a write with FUA is there once it has completed.
//
// It does no I/O and never panics at what a log holds.
package writelog
