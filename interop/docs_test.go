package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// row is how docs/interop.md shows a difference; what a client gets wrong is bold.
func (d difference) row() string {
	right := accepts
	if d.ours != nil {
		right = refuses
	}
	show := func(v verdict) string {
		if v != right {
			return "**" + string(v) + "**"
		}
		return string(v)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", d.rule, d.name, right, show(d.goTUF), show(d.tufJS))
}

// The table in docs/interop.md says what the tests assert.
func TestTheDocumentSaysWhatIsTested(t *testing.T) {
	text, err := os.ReadFile("../docs/interop.md")
	fatal(t, err)
	for _, d := range differences() {
		if row := d.row(); !strings.Contains(string(text), row+"\n") {
			t.Errorf("docs/interop.md lacks\n%s", row)
		}
	}
}
