package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ota-agent/ota-agent/agent"
)

const (
	documentPath = "/v1/metadata"
	// fileChunkBytes is what of a file is in memory at a time.
	fileChunkBytes = 64 << 10
)

// Documents hands out the metadata that this device trusts.
type Documents interface {
	// Document reads a role's file, byte for byte as it was received. Version is 0 but for root, of which there is a
	// chain. agent.ErrAbsent where there is none. The caller closes the file, of which the length comes with it.
	Document(role string, version int64) (io.ReadCloser, int64, error)
}

// document hands out one file: /v1/metadata?role=ROLE, and &version=N for a root. It is never held in memory
// as a whole: a guest who reads slowly would keep a large targets file there. Guests, all together, get one
// at a time.
func (h *handler) document(ctx context.Context, x *call) error {
	if !x.mayCommand {
		select {
		case h.reading <- struct{}{}:
			defer func() { <-h.reading }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	role, version, err := parseDocument(x.request.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "want %s?role=ROLE or %s?role=root&version=N: %v", documentPath, documentPath, err)
	}
	file, length, err := h.documents.Document(role, version)
	switch {
	case errors.Is(err, agent.ErrAbsent):
		return refuse(http.StatusNotFound, "the agent trusts no such metadata")
	case err != nil:
		return refuse(http.StatusInternalServerError, "%v", err)
	}
	defer file.Close()
	return x.file(file, length)
}

// parseDocument is strict: what it does not know is a mistake that the caller should hear of.
func parseDocument(query string) (role string, version int64, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", 0, err
	}
	for name, all := range values {
		switch {
		case len(all) != 1:
			return "", 0, fmt.Errorf("%q comes %d times", name, len(all))
		case name == "role":
			role = all[0]
		case name == "version":
			if version, err = strconv.ParseInt(all[0], 10, 64); err != nil || version < 1 {
				return "", 0, fmt.Errorf("version %q is not a number from 1", all[0])
			}
		default:
			return "", 0, fmt.Errorf("%q is not known", name)
		}
	}
	if role == "" {
		return "", 0, errors.New("no role is named")
	}
	return role, version, nil
}

// file answers with a file's bytes. Its length goes before it, so that a part is not taken for the whole.
func (x *call) file(file io.Reader, length int64) error {
	header := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", length)
	if err := x.bounded([]byte(header)); err != nil {
		return err
	}
	chunk := make([]byte, fileChunkBytes)
	for length > 0 {
		n, err := file.Read(chunk[:min(length, fileChunkBytes)])
		if n == 0 && err != nil {
			return err
		}
		if err := x.bounded(chunk[:n]); err != nil {
			return err
		}
		length -= int64(n)
	}
	return nil
}

// Document asks for a role's trusted metadata file of at most bytesMax bytes: see Documents. A longer one is an error.
func (c *Client) Document(ctx context.Context, role string, version, bytesMax int64) ([]byte, error) {
	query := url.Values{"role": {role}}
	if version != 0 {
		query.Set("version", strconv.FormatInt(version, 10))
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, err := c.call(ctx, http.MethodGet, documentPath+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	file, err := io.ReadAll(io.LimitReader(body, bytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the metadata of role %q from the agent: %w", role, err)
	}
	if int64(len(file)) > bytesMax {
		return nil, fmt.Errorf("read the metadata of role %q from the agent: it is longer than %d bytes", role, bytesMax)
	}
	return file, nil
}
