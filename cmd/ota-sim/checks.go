package main

import (
	"fmt"
	"sync"
)

// A check compares what the story expected with what was seen. What was seen comes from a counter, a file or an
// answer, never from the script that tells the story.
type check struct {
	Chapter  int
	What     string
	Expected string
	Seen     string
	OK       bool
}

// wholeStory stands for a chapter where a check is about all of them.
const wholeStory = 0

// checks is the list that the demo ends with.
type checks struct {
	show *show

	mu      sync.Mutex
	chapter int
	list    []check
}

func (c *checks) begin(chapter int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chapter = chapter
}

// add notes a check and shows it at once.
func (c *checks) add(what, expected, seen string, ok bool) {
	c.mu.Lock()
	k := check{Chapter: c.chapter, What: what, Expected: expected, Seen: seen, OK: ok}
	c.list = append(c.list, k)
	c.mu.Unlock()
	c.show.check(k)
}

// same checks that what was seen is what was expected.
func same[T comparable](c *checks, what string, expected, seen T) {
	c.add(what, fmt.Sprint(expected), fmt.Sprint(seen), expected == seen)
}

// sameBytes is same for an exact number of bytes.
func sameBytes(c *checks, what string, expected, seen int64) {
	c.add(what, bytesExact(expected), bytesExact(seen), expected == seen)
}

// atLeast is for bytes of which there may be more.
func atLeast(c *checks, what string, low, seen int64) {
	c.add(what, "at least "+bytesExact(low), bytesExact(seen), low <= seen)
}

// within checks that a number of bytes lies between low and high, both included.
func within(c *checks, what string, low, high, seen int64) {
	c.add(what, bytesExact(low)+" … "+bytesExact(high), bytesExact(seen), low <= seen && seen <= high)
}

func (c *checks) all() []check {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]check(nil), c.list...)
}

// failed counts the checks that saw something else than expected.
func (c *checks) failed() int {
	n := 0
	for _, k := range c.all() {
		if !k.OK {
			n++
		}
	}
	return n
}
