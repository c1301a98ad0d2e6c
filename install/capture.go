package install

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// answerBytesMax bounds what is read as an answer (status, verify): 64 KiB, a hundred times what eight slots need.
	answerBytesMax = 64 << 10
	// tailBytesMax bounds what is kept of each output stream for people.
	tailBytesMax = 4 << 10
	// saidBytesMax bounds what of that goes into a Problem: it is stored and sent with every status.
	saidBytesMax = 1 << 10
)

// A capture takes a hook's output in constant memory: its head is the answer, its tail is for people.
type capture struct {
	mu   sync.Mutex // a hook that does not end even by SIGKILL may write on while its words are read
	head []byte     // the first answerBytesMax bytes
	tail []byte     // the last tailBytesMax bytes
	size int64
}

// Write takes everything and never fails: a hook that talks too much must not be ended by its output.
func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size += int64(len(p))
	c.head = append(c.head, p[:min(len(p), answerBytesMax-len(c.head))]...)
	last := p[max(0, len(p)-tailBytesMax):]
	if over := len(c.tail) + len(last) - tailBytesMax; over > 0 {
		c.tail = c.tail[:copy(c.tail, c.tail[over:])]
	}
	c.tail = append(c.tail, last...)
	return len(p), nil
}

// text is the tail in one line.
func (c *capture) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return oneLine(string(c.tail), saidBytesMax)
}

// words are the last line of the tail, which as a rule says why, and what came before it.
func (c *capture) words() (last, before string) {
	c.mu.Lock()
	tail := strings.TrimSpace(string(c.tail))
	c.mu.Unlock()
	i := strings.LastIndexByte(tail, '\n')
	return oneLine(tail[i+1:], saidBytesMax/2), oneLine(tail[:max(i, 0)], saidBytesMax/2)
}

// oneLine makes foreign text harmless in a log, a terminal and a JSON document: line ends become " | ", everything
// else that is not printable a space, and of text longer than bytesMax the end is kept.
func oneLine(s string, bytesMax int) string {
	s = strings.ToValidUTF8(s, "?")
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, line)
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(line)
	}
	out := b.String()
	if len(out) <= bytesMax {
		return out
	}
	cut := len(out) - bytesMax
	for cut < len(out) && !utf8.RuneStart(out[cut]) {
		cut++
	}
	return "…" + out[cut:]
}
