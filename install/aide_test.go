package install

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

const aideArg = "be-an-aide"

// beAnAide is what this test binary does as an aide: it says what it is asked, and "hang" makes it silent.
func beAnAide() {
	fmt.Println(len(os.Environ()), strings.Join(os.Args, " "))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "hang" {
			select {}
		}
		fmt.Println(lines.Text())
	}
}

// TestAide: it is asked over pipes, knows nothing of this process's environment, and Close ends it, its
// silence, and who waits for it.
func TestAide(t *testing.T) {
	a, err := StartAide("ota-agent", aideArg)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(a)
	if line, err := lines.ReadString('\n'); err != nil || line != "1 ota-agent "+aideArg+"\n" {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(a, "hello\n")
	if line, err := lines.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(a, "hang\n")
	read := make(chan error)
	go func() {
		_, err := lines.ReadString('\n')
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("it answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	a.Close()
	a.Close()
	for what, done := range map[string]<-chan error{"who waits for it": read, "the process": ends(a)} {
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Errorf("%s did not end", what)
		}
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("a write after the end succeeded")
	}
}

// TestAideEndsWithTheAgent: whose other end is gone ends by itself, also where nobody killed it.
func TestAideEndsWithTheAgent(t *testing.T) {
	a, err := StartAide("ota-agent", aideArg)
	if err != nil {
		t.Fatal(err)
	}
	a.in.Close()
	select {
	case <-a.Ended():
	case <-time.After(10 * time.Second):
		t.Error("it did not end")
	}
	a.Close()
}

func ends(a *Aide) <-chan error {
	c := make(chan error)
	go func() {
		<-a.Ended()
		c <- nil
	}()
	return c
}
