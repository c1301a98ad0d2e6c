package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ota-agent/ota-agent/publish"
)

const (
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 5 * time.Second
)

func (a *app) serveCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Hand out the repository over HTTP on this machine, for a trial; any static server does in earnest",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), listen) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port; port 0 takes a free one")
	return c
}

// serve answers until ctx ends, then lets requests under way finish for a moment.
func (a *app) serve(ctx context.Context, listen string) (err error) {
	if err := publish.Check(a.dir); err != nil {
		return err
	}
	files, err := os.OpenRoot(publish.RepositoryDir(a.dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	server := &http.Server{Handler: fileHandler{files}, ReadHeaderTimeout: headerTimeout}
	a.say("serving %s at http://%s/ (metadata/ and targets/); stop with Ctrl-C", files.Name(), l.Addr())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if server.Shutdown(stop) != nil {
		err = server.Close()
	}
	<-done
	return err
}

// A fileHandler serves regular files below a directory, with strong validators, so that a download resumes (If-Range).
type fileHandler struct{ files *os.Root }

func (h fileHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, err := h.files.Open(name)
	if err != nil || strings.Contains("/"+name, "/.") {
		if err == nil {
			_ = f.Close()
		}
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	// Files change only by rename, so size and time to the nanosecond tell one content from another.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	w.Header().Set("Content-Type", "application/octet-stream")
	if !strings.HasPrefix(name, "targets/") {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}
