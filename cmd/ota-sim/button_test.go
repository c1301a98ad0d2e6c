package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestPressReachesTheBoard(t *testing.T) {
	dir, err := os.MkdirTemp("", "button") // t.TempDir's paths are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	then := make(chan string, 1)
	l, err := listenButton(socket, func(word string) (func(), error) {
		if word != wordReboot {
			return nil, errors.New("unknown word")
		}
		return func() { then <- word }, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := press(socket, wordReboot); err != nil {
		t.Fatal(err)
	}
	if word := <-then; word != wordReboot {
		t.Errorf("the board did %q", word)
	}
	if err := press(socket, "explode"); err == nil {
		t.Error("an unknown word was answered with ok")
	}
	if err := press(filepath.Join(dir, "nobody"), wordReboot); err == nil {
		t.Error("nobody answered with ok")
	}
}
