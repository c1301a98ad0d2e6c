package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"
)

// What runs on the board reaches the board's hardware and its service manager over a Unix socket: one word, one
// line of answer. On a real device these are "systemctl reboot" and "systemctl restart demoapp".
const (
	wordReboot  = "reboot"
	wordRestart = "restart-app"
)

const (
	wordBytesMax = 64
	wordTimeout  = 10 * time.Second
)

// buttonCommand is the program that the agent's reboot command and the app's restart command run.
func buttonCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "board SOCKET WORD",
		Short:  "ask the simulated board for a reboot or a restart of its application",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE:   func(_ *cobra.Command, args []string) error { return press(args[0], args[1]) },
	}
}

// press sends one word to the board and waits for its answer.
func press(socket, word string) error {
	c, err := net.DialTimeout("unix", socket, wordTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(wordTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, word); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(c, wordBytesMax)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("board, asked for %s: %w", word, err)
	}
	if answer != "ok\n" {
		return fmt.Errorf("board, asked for %s: %q", word, answer)
	}
	return nil
}

// listenButton serves the socket until it is closed. do runs before the answer, then after it.
func listenButton(socket string, do func(word string) (then func(), err error)) (net.Listener, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the board's socket (a path of at most 107 bytes): %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				answer(c, do)
			}
		}
	}()
	return l, nil
}

func answer(c net.Conn, do func(string) (func(), error)) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(wordTimeout))
	word, err := bufio.NewReader(io.LimitReader(c, wordBytesMax)).ReadString('\n')
	if err != nil {
		return
	}
	then, err := do(word[:len(word)-1])
	if err != nil {
		_, _ = fmt.Fprintf(c, "%.*s\n", wordBytesMax-1, err.Error())
		return
	}
	_, _ = fmt.Fprintln(c, "ok")
	if then != nil {
		then()
	}
}
