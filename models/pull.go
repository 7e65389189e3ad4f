package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Puller downloads original weights. A download that was cut is resumed where
// it stopped, in the same run or a later one, unless the server has another
// file by then. Not for concurrent use.
type Puller struct {
	// Dir keeps finished and half-done downloads, named by their SHA-256.
	Dir string
	// Client is used for all requests; nil means [NewPullClient].
	Client *http.Client
	// Stall ends an attempt in which no byte came for so long. Zero: 15 s.
	Stall time.Duration
	// Attempts bounds the tries in a row that bring nothing. Zero: 3.
	Attempts int
	// Pause is waited before the second try, twice that before the third and
	// so on. Zero: half a second.
	Pause time.Duration
	// Progress hears how far a file is; nil hears nothing.
	Progress func(s Source, done int64)
}

// NewPullClient returns a client that gives up quickly where nobody answers
// and follows redirects to https addresses only.
func NewPullClient(connect time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connect}).DialContext,
			TLSHandshakeTimeout:   connect,
			ResponseHeaderTimeout: 2 * connect,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Scheme != "https" || len(via) > 5 {
				return fmt.Errorf("refused a redirect to %s", req.URL)
			}
			return nil
		},
	}
}

func (p *Puller) client() *http.Client {
	if p.Client == nil {
		p.Client = NewPullClient(5 * time.Second)
	}
	return p.Client
}

// permanent marks an answer that another attempt would not change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Find is a [Finder]: it returns the file from Dir or downloads it. Sources
// without an address are not here.
func (p *Puller) Find(ctx context.Context, s Source) ([]byte, error) {
	if s.URL == "" {
		return nil, fmt.Errorf("pull %s: it has no address: %w", s.Name, fs.ErrNotExist)
	}
	if b, err := readSource(filepath.Join(p.Dir, s.SHA256), s); err == nil {
		return b, nil
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("pull %s: %w", s.Name, err)
	}
	defer os.Remove(p.Dir) // succeeds where nothing came
	part := filepath.Join(p.Dir, s.SHA256+".part")
	if err := p.download(ctx, s, part); err != nil {
		return nil, fmt.Errorf("pull %s from %s: %w", s.Name, s.URL, err)
	}
	b, err := readSource(part, s)
	if err != nil {
		os.Remove(part)
		return nil, fmt.Errorf("pull %s from %s: what came is not what was asked for, compared was the %s: %w", s.Name, s.URL, s.Compared(), err)
	}
	os.Remove(part + ".tag")
	return b, os.Rename(part, filepath.Join(p.Dir, s.SHA256))
}

// download fills part, attempt by attempt. Tries that bring bytes do not count
// against Attempts.
func (p *Puller) download(ctx context.Context, s Source, part string) error {
	idle, pause := 0, cmp.Or(p.Pause, 500*time.Millisecond)
	for {
		before := fileSize(part)
		err := p.attempt(ctx, s, part)
		if err == nil {
			return nil
		}
		var stop permanent
		if errors.As(err, &stop) || ctx.Err() != nil {
			return err
		}
		if idle++; fileSize(part) > before {
			idle = 0
		}
		if idle >= cmp.Or(p.Attempts, 3) {
			return fmt.Errorf("%w (gave up after %d attempts; what came is kept, a later pull resumes)", err, idle)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause * time.Duration(1+idle)):
		}
	}
}

// attempt makes one request, for the rest of the file where a part of it is
// there, and appends what comes.
func (p *Puller) attempt(ctx context.Context, s Source, part string) (err error) {
	have, tag := fileSize(part), ""
	if b, err := readSmall(part+".tag", 1024); err == nil {
		tag = string(b)
	}
	if have == s.Size {
		return nil
	}
	if tag == "" || have > s.Size {
		have = 0
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return permanent{err}
	}
	if have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		req.Header.Set("If-Range", tag)
	}
	resp, err := p.client().Do(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	have, err = checkAnswer(resp, s, have)
	if err != nil {
		return err
	}
	if err := writeFile(part+".tag", []byte(validator(resp.Header))); err != nil {
		return permanent{hint(err)}
	}
	return p.receive(resp.Body, s, part, have, cancel)
}

// receive appends body to part from offset have on, and cancels the request
// when it stalls.
func (p *Puller) receive(body io.Reader, s Source, part string, have int64, cancel context.CancelCauseFunc) error {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return permanent{hint(err)}
	}
	defer f.Close()
	if err := f.Truncate(have); err != nil {
		return permanent{hint(err)}
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return permanent{err}
	}
	stall := cmp.Or(p.Stall, 15*time.Second)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no byte came for %v", stall)) })
	defer timer.Stop()
	buf := make([]byte, 64<<10)
	for have < s.Size {
		n, err := body.Read(buf[:min(int64(len(buf)), s.Size-have)])
		timer.Reset(stall)
		if n > 0 {
			if _, werr := f.Write(buf[:n]); werr != nil {
				return permanent{hint(werr)}
			}
			have += int64(n)
			if p.Progress != nil {
				p.Progress(s, have)
			}
		}
		if err != nil && have < s.Size {
			return fmt.Errorf("cut off after %d of %d bytes: %w", have, s.Size, err)
		}
	}
	if n, _ := body.Read(buf[:1]); n > 0 {
		return permanent{fmt.Errorf("%w: more than the %d bytes stated", ErrDamaged, s.Size)}
	}
	return f.Sync()
}

// checkAnswer accepts the whole file (then from is 0) or exactly the rest that
// was asked for.
func checkAnswer(resp *http.Response, s Source, have int64) (from int64, err error) {
	want := s.Size
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusPartialContent && have > 0:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			return 0, permanent{fmt.Errorf("the server sent range %q, asked from %d", resp.Header.Get("Content-Range"), have)}
		}
		from, want = have, s.Size-have
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return 0, fmt.Errorf("the server answers %s", resp.Status)
	default:
		return 0, permanent{fmt.Errorf("the server answers %s", resp.Status)}
	}
	if resp.ContentLength >= 0 && resp.ContentLength != want {
		return 0, permanent{fmt.Errorf("%w: the server offers %d bytes, want %d", ErrDamaged, resp.ContentLength, want)}
	}
	return from, nil
}

// validator returns what If-Range may name: a strong ETag or a date, else "".
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// failed tells answers that are final from those that another attempt may
// better: a name that does not exist stays so.
func failed(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is in our own words already
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return permanent{err}
	}
	return err
}

func fileSize(path string) int64 {
	st, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
