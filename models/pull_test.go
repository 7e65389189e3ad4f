package models_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/models"
)

// mirror serves one file the way a bad line does.
type mirror struct {
	body     []byte
	etag     string
	cut      int          // bytes sent before the connection breaks; 0: never
	cuts     atomic.Int32 // connections still to break
	noRange  bool
	stall    chan struct{} // closed: the handler that hangs may end
	requests atomic.Int32
	resumed  atomic.Int32
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	if m.noRange {
		r.Header.Del("Range")
	}
	if r.Header.Get("Range") != "" && r.Header.Get("If-Range") == m.etag {
		m.resumed.Add(1)
	}
	if m.etag != "" {
		w.Header().Set("ETag", m.etag)
	}
	if m.cut > 0 && m.cuts.Add(-1) >= 0 {
		w = &cutter{ResponseWriter: w, left: m.cut, stall: m.stall}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.body))
}

// cutter breaks the connection (or hangs) after some bytes.
type cutter struct {
	http.ResponseWriter
	left  int
	stall chan struct{}
}

func (c *cutter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left > 0 {
		return n, err
	}
	c.ResponseWriter.(http.Flusher).Flush()
	if c.stall != nil {
		<-c.stall
	}
	panic(http.ErrAbortHandler)
}

func newMirror(t *testing.T, m *mirror) (*models.Puller, models.Source) {
	t.Helper()
	if m.body == nil {
		m.body = make([]byte, 300<<10)
		rand.NewChaCha8([32]byte{1}).Read(m.body)
	}
	srv := httptest.NewUnstartedServer(m)
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	short, long := sha256.Sum256(m.body), sha512.Sum384(m.body)
	s := models.Source{Name: "weights.bin", Size: int64(len(m.body)), URL: srv.URL + "/weights.bin",
		SHA256: hex.EncodeToString(short[:]), SHA384: hex.EncodeToString(long[:])}
	return &models.Puller{Dir: t.TempDir(), Client: srv.Client(), Pause: time.Millisecond}, s
}

func TestPullWhole(t *testing.T) {
	m := &mirror{etag: `"v1"`}
	p, s := newMirror(t, m)
	var last int64
	p.Progress = func(_ models.Source, done int64) { last = done }
	b, err := p.Find(t.Context(), s)
	if err != nil || !bytes.Equal(b, m.body) {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
	if last != s.Size {
		t.Errorf("progress ended at %d of %d", last, s.Size)
	}
	if _, err := p.Find(t.Context(), s); err != nil || m.requests.Load() != 1 {
		t.Errorf("a file already pulled: %v, %d requests in all, want 1", err, m.requests.Load())
	}
}

func TestPullResumesWhereTheConnectionBroke(t *testing.T) {
	m := &mirror{etag: `"v1"`, cut: 70 << 10}
	m.cuts.Store(3)
	p, s := newMirror(t, m)
	b, err := p.Find(t.Context(), s)
	if err != nil || !bytes.Equal(b, m.body) {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
	if m.resumed.Load() != 3 {
		t.Errorf("%d of %d requests resumed, want 3", m.resumed.Load(), m.requests.Load())
	}
}

func TestPullResumesInALaterRun(t *testing.T) {
	m := &mirror{etag: `"v1"`, cut: 100 << 10}
	m.cuts.Store(1)
	p, s := newMirror(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	p.Progress = func(_ models.Source, done int64) {
		if done >= 90<<10 {
			cancel()
		}
	}
	if _, err := p.Find(ctx, s); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted pull: %v", err)
	}
	again := &models.Puller{Dir: p.Dir, Client: p.Client}
	b, err := again.Find(t.Context(), s)
	if err != nil || !bytes.Equal(b, m.body) || m.resumed.Load() != 1 {
		t.Fatalf("got %d bytes, %v, %d resumed", len(b), err, m.resumed.Load())
	}
}

func TestPullStartsAnewWhenTheFileChanged(t *testing.T) {
	m := &mirror{etag: `"v2"`}
	p, s := newMirror(t, m)
	part := filepath.Join(p.Dir, s.SHA256+".part")
	os.WriteFile(part, bytes.Repeat([]byte("old"), 1000), 0o644)
	os.WriteFile(part+".tag", []byte(`"v1"`), 0o644)
	if b, err := p.Find(t.Context(), s); err != nil || !bytes.Equal(b, m.body) {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
}

func TestPullFromAServerWithoutRanges(t *testing.T) {
	m := &mirror{etag: `"v1"`, cut: 70 << 10, noRange: true}
	m.cuts.Store(1)
	p, s := newMirror(t, m)
	if b, err := p.Find(t.Context(), s); err != nil || !bytes.Equal(b, m.body) {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
}

func TestPullNoticesAStall(t *testing.T) {
	m := &mirror{etag: `"v1"`, cut: 70 << 10, stall: make(chan struct{})}
	m.cuts.Store(1)
	p, s := newMirror(t, m)
	t.Cleanup(func() { close(m.stall) })
	p.Stall = 50 * time.Millisecond
	if b, err := p.Find(t.Context(), s); err != nil || !bytes.Equal(b, m.body) {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
	if m.resumed.Load() != 1 {
		t.Errorf("%d requests resumed, want 1", m.resumed.Load())
	}
}

func TestPullRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(*models.Source, *mirror)
		want string
		is   error
	}{
		{"another sha256", func(s *models.Source, m *mirror) { s.SHA256 = strings.Repeat("0", 64) }, "sha384 as its publisher states it", models.ErrDamaged},
		{"another published sha384", func(s *models.Source, m *mirror) { s.SHA384 = strings.Repeat("0", 96) }, "its publisher states 000", models.ErrDamaged},
		{"a longer file", func(s *models.Source, m *mirror) { m.body = append(m.body, 0) }, "offers 307201 bytes", models.ErrDamaged},
		{"a missing file", func(s *models.Source, m *mirror) { s.URL = strings.Replace(s.URL, "weights.bin", "?missing", 1) }, "404", nil},
		{"no address", func(s *models.Source, m *mirror) { s.URL = "" }, "no address", fs.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &mirror{etag: `"v1"`}
			p, s := newMirror(t, m)
			tt.edit(&s, m)
			if strings.Contains(s.URL, "missing") {
				srv := httptest.NewTLSServer(http.NotFoundHandler())
				t.Cleanup(srv.Close)
				s.URL, p.Client = srv.URL, srv.Client()
			}
			_, err := p.Find(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
			if m.requests.Load() > 1 {
				t.Errorf("%d requests for a final answer, want 1", m.requests.Load())
			}
		})
	}
}

func TestPullGivesUpOnABusyServer(t *testing.T) {
	var n atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	p, s := newMirror(t, &mirror{})
	p.Client, s.URL = srv.Client(), srv.URL
	_, err := p.Find(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "503") || n.Load() != 3 {
		t.Errorf("after %d requests: %v", n.Load(), err)
	}
}

func TestPullClientRefusesPlainRedirects(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }))
	defer plain.Close()
	srv := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer srv.Close()
	p, s := newMirror(t, &mirror{})
	client := models.NewPullClient(time.Second)
	client.Transport = srv.Client().Transport
	p.Client, s.URL, p.Attempts = client, srv.URL, 1
	if _, err := p.Find(t.Context(), s); err == nil || !strings.Contains(fmt.Sprint(err), "refused a redirect") {
		t.Errorf("got %v", err)
	}
}

// A whole pull of the standard pack over a line that breaks once a file, from
// a server that stands in for the publisher's.
func TestPullAndBuildStandard(t *testing.T) {
	const sources = "../../shared/models/sources"
	if _, err := os.Stat(sources); err != nil {
		t.Skip("the standard pack's original weights are not at ../shared/models/sources")
	}
	var broken atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := filepath.Join(sources, filepath.Base(r.URL.Path))
		w.Header().Set("ETag", `"`+filepath.Base(path)+`"`)
		if r.Header.Get("Range") == "" {
			broken.Add(1)
			w = &cutter{ResponseWriter: w, left: 30 << 10}
		}
		http.ServeFile(w, r, path)
	}))
	srv.StartTLS()
	defer srv.Close()
	client := srv.Client()
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.ServerName = "example.com" // the test certificate's name
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}
	root := t.TempDir()
	pull := &models.Puller{Dir: filepath.Join(root, ".pull"), Client: client, Pause: time.Millisecond}
	find := models.FirstOf(models.Folders("../.deps/npm/node_modules"), pull.Find)
	p, err := models.Installer{Root: root}.Build(t.Context(), "standard", find)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil || !p.Builtin() || broken.Load() != 4 {
		t.Errorf("verify: %v, builtin %v, %d broken connections", err, p.Builtin(), broken.Load())
	}
}
