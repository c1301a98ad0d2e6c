// Package health holds the health checks that are built into the agent, for components whose hook has none.
package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ErrNotYet says that nothing could be learned: nobody listens yet, the time was over, or the service says itself
// that it is not ready (HTTP 503). It is no verdict: ask again until the trial's deadline.
var ErrNotYet = errors.New("not up yet")

// ErrUnhealthy is a verdict: the service answered, and the answer is bad.
var ErrUnhealthy = errors.New("unhealthy")

// An HTTP check asks a service of this device how it is.
type HTTP struct {
	// URL is http or https. It is asked directly: proxies are not used and redirects not followed.
	URL string
	// Timeout bounds the whole exchange.
	Timeout time.Duration
}

// Validate refuses a URL that can't be asked.
func (h HTTP) Validate() error {
	u, err := url.Parse(h.URL)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // without the URL, which may hold a password
		}
		return fmt.Errorf("health URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("health URL %s: expected http://HOST/PATH or https://HOST/PATH", shown(u))
	}
	return nil
}

// Check makes one request. nil is healthy: an answer with a status of 200 to 299. Other errors wrap ErrNotYet or
// ErrUnhealthy, or are the URL's.
func (h HTTP) Check(ctx context.Context) error {
	if err := h.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return fmt.Errorf("health URL: %w", err)
	}
	request.Close = true // one request: no connection is kept
	name := shown(request.URL)
	answer, err := client().Do(request)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return fmt.Errorf("GET %s: %w: %w", name, ErrNotYet, err)
	}
	defer answer.Body.Close() // unread: closing drops the connection, however long the body is
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299:
		return nil
	case code == http.StatusServiceUnavailable:
		return fmt.Errorf("GET %s: %w: status %d", name, ErrNotYet, code)
	default:
		return fmt.Errorf("GET %s: %w: expected a status of 200 to 299, seen %d", name, ErrUnhealthy, code)
	}
}

// client is made for one request: there is nothing to share, and nothing stays behind.
func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// shown is a URL without user, password and query.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
