package web

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// TLSOnly makes a listener speak TLS. Whoever speaks plain HTTP to it is answered
// once, that this address speaks TLS, and let go.
func TLSOnly(l net.Listener, c *tls.Config) net.Listener {
	s := &splitter{Listener: l, config: c, ready: make(chan net.Conn), closed: make(chan struct{})}
	s.plain = &http.Server{
		Handler:           &Server{Routes: plainRoutes()},
		ReadHeaderTimeout: HeaderTimeout, ReadTimeout: HeaderTimeout, WriteTimeout: HeaderTimeout,
		MaxHeaderBytes: MaxHeaderBytes,
	}
	s.plain.SetKeepAlivesEnabled(false)
	go s.accept()
	return s
}

func plainRoutes() *Routes {
	routes := NewRoutes()
	routes.Otherwise(func(http.ResponseWriter, *http.Request) error {
		return Fail(http.StatusBadRequest, "this address speaks TLS only: use https://")
	})
	return routes
}

// splitter looks at the first byte of each connection: 22 begins a TLS handshake.
type splitter struct {
	net.Listener
	config *tls.Config
	plain  *http.Server
	ready  chan net.Conn

	once   sync.Once
	closed chan struct{}
	err    error // why accepting ended; set before closed is
}

const tlsHandshake = 22

func (s *splitter) accept() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				time.Sleep(50 * time.Millisecond) // too many open files: some will be closed
				continue
			}
			s.end(err)
			return
		}
		go s.split(c)
	}
}

func (s *splitter) split(c net.Conn) {
	p := &peeked{Conn: c, r: bufio.NewReaderSize(c, 512)}
	_ = c.SetReadDeadline(time.Now().Add(HeaderTimeout)) // fails only where the read will
	first, err := p.r.Peek(1)
	if err != nil {
		c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	if first[0] != tlsHandshake {
		one := &single{conn: p, addr: s.Addr()}
		_ = s.plain.Serve(one) // says that there is no second connection
		if one.conn != nil {   // the server was stopped before
			c.Close()
		}
		return
	}
	select {
	case s.ready <- tls.Server(p, s.config):
	case <-s.closed:
		c.Close()
	}
}

func (s *splitter) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.closed)
	})
}

// Accept returns the next connection that speaks TLS.
func (s *splitter) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case <-s.closed:
		return nil, s.err
	}
}

// Close ends the listener; connections that are being looked at end too.
func (s *splitter) Close() error {
	s.end(fmt.Errorf("accept %s: %w", s.Addr(), net.ErrClosed))
	_ = s.plain.Close() // it has no listener of its own
	return s.Listener.Close()
}

// peeked is a connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// single is a listener with one connection.
type single struct {
	conn net.Conn
	addr net.Addr
}

func (l *single) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return l.addr }
