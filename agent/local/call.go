package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of a request. Nobody on the device needs more.
const (
	requestTimeout  = 5 * time.Second // to send it
	writeTimeout    = 10 * time.Second
	commandBytesMax = 1 << 10
	requestBytesMax = 4<<10 + commandBytesMax
)

// A call is a connection with its one request. The library's server is not used: it would make the agent's binary
// half a megabyte larger, for HTTP/2 and long-lived connections that a Unix socket has no need of.
type call struct {
	net.Conn
	mayCommand bool
	uid        uint32
	request    *http.Request
}

// serve answers one request and hangs up.
func (h *handler) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	call, err := readCall(c)
	if err == nil {
		ctx, hungUp := context.WithCancel(ctx)
		defer hungUp()
		go func() { // nobody waits for whoever hangs up; the end of the connection ends this too
			_, _ = io.Copy(io.Discard, c)
			hungUp()
		}()
		err = h.route(ctx, call)
	}
	var refused *refusal
	if errors.As(err, &refused) {
		err = call.send(refused.code, refused)
	}
	if err != nil {
		h.log.Debug("local API", "err", err)
	}
}

// readCall reads a request of bounded size, in bounded time.
func readCall(c net.Conn) (*call, error) {
	x := &call{Conn: c}
	if p, ok := c.(*peer); ok {
		x.mayCommand, x.uid = p.mayCommand, p.uid
	}
	if err := c.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return x, err
	}
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c, requestBytesMax)))
	if err != nil {
		return x, refuse(http.StatusBadRequest, "want an HTTP request of at most %d bytes", requestBytesMax)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil || len(body) > commandBytesMax {
		return x, refuse(http.StatusBadRequest, "want a body of at most %d bytes", commandBytesMax)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	x.request = request
	return x, c.SetReadDeadline(time.Time{})
}

// A refusal is an answer that is not 200, and its body.
type refusal struct {
	code int
	Text string `json:"error"`
	// Reason is the agent's code for it, or empty.
	Reason agent.Reason `json:"reason,omitempty"`
}

func (r *refusal) Error() string { return r.Text }

func refuse(code int, format string, args ...any) error {
	return &refusal{code: code, Text: fmt.Sprintf(format, args...)}
}

// send answers with a document.
func (x *call) send(code int, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return x.write(code, "application/json", append(body, '\n'))
}

// begin answers with documents that are to follow, one a line, until the connection ends.
func (x *call) begin() error { return x.write(http.StatusOK, "application/x-ndjson", nil) }

// follow sends one more of them.
func (x *call) follow(s agent.Status) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return x.bounded(append(line, '\n'))
}

// write sends a header and the beginning of a body, which the end of the connection ends.
func (x *call) write(code int, kind string, body []byte) error {
	header := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", code, http.StatusText(code), kind)
	return x.bounded(append([]byte(header), body...))
}

func (x *call) bounded(b []byte) error {
	if err := x.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := x.Write(b)
	return err
}
