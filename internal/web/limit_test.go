package web_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/web"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l := web.NewLimiter(2, 3, func() time.Time { return now })
	take := func(name string) (ok bool, retry string) {
		w := httptest.NewRecorder()
		err := l.Take(w, name)
		var e *web.Error
		if err != nil && (!errors.As(err, &e) || e.Status != 429) {
			t.Fatal(err)
		}
		return err == nil, w.Header().Get("Retry-After")
	}
	for i := range 4 {
		if ok, retry := take("a"); ok != (i < 3) || !ok && retry != "1" {
			t.Errorf("call %d: %v, Retry-After %q", i, ok, retry)
		}
	}
	if ok, _ := take("b"); !ok {
		t.Error("another name pays for it")
	}
	now = now.Add(500 * time.Millisecond)
	if ok, _ := take("a"); !ok {
		t.Error("time does not help")
	}
	if ok, _ := take("a"); ok {
		t.Error("a refused call was not free")
	}
	var none *web.Limiter = web.NewLimiter(0, 5, nil)
	if none != nil || none.Take(httptest.NewRecorder(), "a") != nil {
		t.Error("a rate of 0 bounds")
	}
}

// Names that nobody knew before cannot fill the memory.
func TestALimiterForgets(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	l := web.NewLimiter(1, 1, func() time.Time { return now })
	for i := range 30_000 {
		_ = l.Take(httptest.NewRecorder(), fmt.Sprint(i)) // those beyond the memory share one
	}
	if err := l.Take(httptest.NewRecorder(), "late"); err == nil {
		t.Error("beyond its memory it bounds nothing")
	}
	now = now.Add(2 * time.Minute)
	if err := l.Take(httptest.NewRecorder(), "late"); err != nil {
		t.Error("it does not forget who was quiet")
	}
}

func TestAddress(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::", "@": "@",
	} {
		if got := web.Address(&http.Request{RemoteAddr: given}); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
}

// fakeListener hands out connections that come from an address.
type fakeListener struct{ from []string }

func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, io.EOF
	}
	a, _ := net.Pipe()
	c := &fakeConn{Conn: a, from: l.from[0]}
	l.from = l.from[1:]
	return c, nil
}
func (*fakeListener) Close() error   { return nil }
func (*fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

type fakeConn struct {
	net.Conn
	from string
}

func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 7} }

func TestCrowdsAreKeptOut(t *testing.T) {
	from := strings.Fields("192.0.2.1 192.0.2.1 192.0.2.1 127.0.0.1 127.0.0.1 127.0.0.1 192.0.2.2 192.0.2.3")
	l := web.Crowded(&fakeListener{from: from}, 6, 2)
	var in []net.Conn
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		in = append(in, c)
	}
	if len(in) != 6 { // two of .1, three of the box, and one more
		t.Errorf("%d connections", len(in))
	}
	for _, c := range in {
		c.Close()
		c.Close() // counts once
	}
	again := web.Crowded(&fakeListener{from: from[:3]}, 6, 2)
	for range 3 {
		c, err := again.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// serveSlow serves with little patience and returns the address.
func serveSlow(t *testing.T, patience time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	routes := web.NewRoutes()
	routes.Handle("GET", "/x", func(w http.ResponseWriter, r *http.Request) error {
		return web.Write(w, 200, web.RequestID(r.Context()))
	})
	s := (&web.Server{Routes: routes, Patience: patience}).HTTP(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// Who sends headers drop by drop is let go, and meanwhile others are answered.
func TestSlowLoris(t *testing.T) {
	address := serveSlow(t, 300*time.Millisecond)
	var slow []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: box\r\nX-A: ")
		slow = append(slow, c)
	}
	if resp, err := http.Get("http://" + address + "/x"); err != nil || resp.StatusCode != 200 {
		t.Errorf("others wait: %v", err)
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // a test must end
		b, err := io.ReadAll(c)
		if err != nil || strings.HasPrefix(string(b), "HTTP/1.1 200") {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

// Requests that come in one go are answered one after another, each with its id.
func TestPipelining(t *testing.T) {
	c, err := net.Dial("tcp", serveSlow(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // a test must end
	const one = "GET /x HTTP/1.1\r\nHost: box\r\n\r\n"
	fmt.Fprint(c, strings.Repeat(one, 20))
	r := bufio.NewReader(c)
	ids := map[string]bool{}
	for range 20 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		ids[resp.Header.Get("X-Request-Id")] = true
	}
	if len(ids) != 20 || ids[""] {
		t.Errorf("ids %v", ids)
	}
}
