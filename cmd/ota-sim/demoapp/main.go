// Command demoapp is the application of the demo: a small web server that the device runs as a component of its own
// and that an update replaces while the system keeps running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker: -ldflags "-X main.version=1.1".
var version = "unknown"

// headerTimeout bounds how long a client may take to ask.
const headerTimeout = 5 * time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address to serve; ignored when a service manager hands over a socket")
	flag.Parse()
	if err := run(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "demoapp:", err)
		os.Exit(1)
	}
}

func run(address string) error {
	l, err := listener(address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "hello from demoapp %s\n", version)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok", version)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listener takes the socket that the service manager opened (file descriptor 3, sd_listen_fds(3)), so that nobody is
// turned away while one version follows the other; without one it opens its own.
func listener(address string) (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") == "" {
		return net.Listen("tcp", address)
	}
	const firstFD = 3
	f := os.NewFile(firstFD, "listen socket")
	defer func() { _ = f.Close() }()
	return net.FileListener(f)
}
