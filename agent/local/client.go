package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// The ways in which the agent can't be asked. Test with errors.Is.
var (
	// ErrNotRunning: nobody listens on the socket.
	ErrNotRunning = errors.New("the agent is not running")
	// ErrForbidden: the caller may not open the socket, or may only look.
	ErrForbidden = errors.New("not allowed")
)

const (
	// statusBytesMax bounds a status document or a history, as read by the client.
	statusBytesMax = 1 << 20
	dialTimeout    = 5 * time.Second
	// answerTimeout bounds the wait for an answer that needs no work.
	answerTimeout = 10 * time.Second
)

// A Client asks the agent that listens on a socket.
type Client struct {
	http *http.Client
}

// NewClient makes a client. It does not connect.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", socket)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Listens asks whether somebody listens on the socket: ErrNotRunning where nobody does.
func Listens(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return dialProblem(ctx, err)
	}
	return conn.Close()
}

// Status asks for the status document.
func (c *Client) Status(ctx context.Context) (agent.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.document(ctx, http.MethodGet, "/v1/status", nil)
}

// History asks for what is kept of the past.
func (c *Client) History(ctx context.Context) (agent.History, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var h agent.History
	err := c.ask(ctx, http.MethodGet, "/v1/history", nil, &h)
	return h, err
}

// Check asks for a refresh and waits for its end, however long it takes. How it ended stands in the document.
func (c *Client) Check(ctx context.Context) (agent.Status, error) {
	return c.document(ctx, http.MethodPost, "/v1/check", nil)
}

// Command passes a command on.
func (c *Client) Command(ctx context.Context, command agent.Command) (agent.Status, error) {
	body, err := json.Marshal(command)
	if err != nil {
		return agent.Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.document(ctx, http.MethodPost, "/v1/command", body)
}

// Watch calls see with each status document, until ctx ends, the agent goes away (ErrNotRunning) or see fails.
func (c *Client) Watch(ctx context.Context, see func(agent.Status) error) error {
	body, err := c.call(ctx, http.MethodGet, "/v1/watch", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	bounded := &io.LimitedReader{R: body}
	for documents := json.NewDecoder(bounded); ; {
		bounded.N = statusBytesMax // for each of them
		var s agent.Status
		if err := documents.Decode(&s); err != nil {
			return watchEnded(ctx, err)
		}
		if err := see(s); err != nil {
			return err
		}
	}
}

// watchEnded tells an agent that stopped from one that talks nonsense.
func watchEnded(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w any more", ErrNotRunning)
	}
	return fmt.Errorf("read the agent's status: %w", err)
}

func (c *Client) document(ctx context.Context, method, path string, body []byte) (agent.Status, error) {
	var s agent.Status
	err := c.ask(ctx, method, path, body, &s)
	return s, err
}

// ask sends a request and reads the one document that answers it.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, document any) error {
	answer, err := c.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(io.LimitReader(answer, statusBytesMax)).Decode(document); err != nil {
		return fmt.Errorf("read the agent's answer: %w", watchEnded(ctx, err))
	}
	return nil
}

// call sends a request. The caller closes the answer's body.
func (c *Client) call(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://ota-agent"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, dialProblem(ctx, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var said refusal
	if err := json.NewDecoder(io.LimitReader(answer.Body, statusBytesMax)).Decode(&said); err != nil || said.Text == "" {
		said.Text = answer.Status
	}
	switch answer.StatusCode {
	case http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", ErrForbidden, said.Text)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w: %s", agent.ErrAbsent, said.Text)
	}
	if said.Reason != "" {
		return nil, &agent.Problem{Reason: said.Reason, Text: said.Text}
	}
	return nil, errors.New(said.Text)
}

func dialProblem(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask the agent: %w", ctx.Err())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return ErrForbidden
	}
	return fmt.Errorf("ask the agent: %w", err)
}
