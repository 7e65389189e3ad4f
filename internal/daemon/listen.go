package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// listen opens the address of the API.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has this port (--listen ADDRESS:PORT chooses another)", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: not allowed (ports below 1024 need a privilege; choose one above)", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// address is the URL of a listener as a program on the box reaches it.
func address(l net.Listener, scheme string) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return scheme + "://" + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// socketName is the control socket in the data folder.
const socketName = "control.sock"

// listenControl opens the control socket for the box's own user. The store is
// locked by now, so a socket that lies there is of a box that has gone.
func listenControl(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open control socket: %w", err)
	case st.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("open control socket: %s is there and is not a socket (move it away)", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove old control socket: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("open control socket: the path %s is too long for a socket (choose a shorter --data)", path)
	} else if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return l, nil
}

// serveUntil serves until ctx ends, and then lets the requests that are under
// way end within the drain time.
func serveUntil(ctx context.Context, s *http.Server, l net.Listener, drain time.Duration) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err := s.Shutdown(limit)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		stopped <- err
	})
	err := s.Serve(l)
	if stop() { // the listener died by itself
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return <-stopped
}
