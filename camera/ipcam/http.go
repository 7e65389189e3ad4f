package ipcam

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"mime"
	"net"
	"net/http"

	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/icholy/digest"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/picture"
)

// snapshotEvery is the time between single pictures.
const snapshotEvery = 250 * time.Millisecond

// source is a stream that a goroutine reads.
type source struct {
	*camera.Pump
	cancel context.CancelFunc
	once   sync.Once
}

var _ camera.Source = (*source)(nil)

// Close ends the stream and waits for its goroutine.
func (s *source) Close() error {
	s.once.Do(s.cancel)
	<-s.Done()
	return nil
}

// openHTTP asks for the stream, and reads it in a goroutine.
func (t target) openHTTP(ctx context.Context) (camera.Source, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel) // while it opens
	client := &http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialLimit}).DialContext,
		TLSClientConfig:       t.tls,
		TLSHandshakeTimeout:   dialLimit,
		ResponseHeaderTimeout: answerLimit,
		MaxIdleConnsPerHost:   1,
	}, CheckRedirect: sameHost}
	resp, err := t.get(life, client)
	if err != nil {
		cancel()
		client.CloseIdleConnections()
		return nil, err
	}
	stop()
	s := &source{Pump: camera.NewPump(t.name, decodeJPEG), cancel: cancel}
	go func() {
		defer client.CloseIdleConnections()
		defer cancel()
		err := t.read(life, s.Pump, resp, func() (*http.Response, error) { return t.get(life, client) })
		if life.Err() != nil {
			err = camera.ErrClosed
		} else {
			err = t.fault("read", err)
		}
		s.End(err)
	}()
	return s, nil
}

// sameHost lets a camera send its callers to another path only, so that the
// password goes nowhere else.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return errors.New("the camera sends its callers elsewhere")
	}
	return nil
}

// get asks for the pictures, with the password in the way that the camera wants.
func (t target) get(ctx context.Context, client *http.Client) (*http.Response, error) {
	bare := *t.url
	bare.User = nil
	request := func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), nil)
	}
	req, err := request()
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && t.url.User != nil {
		schemes := resp.Header.Values("WWW-Authenticate")
		resp.Body.Close()
		if req, err = request(); err != nil {
			return nil, err
		}
		resp, err = t.authorized(client, req, schemes)
	}
	if err != nil {
		return nil, err
	}
	if err := usable(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// authorized asks again, by digest where that is offered.
func (t target) authorized(client *http.Client, req *http.Request, schemes []string) (*http.Response, error) {
	user := t.url.User.Username()
	password, _ := t.url.User.Password()
	if slices.ContainsFunc(schemes, func(s string) bool { return len(s) > 6 && strings.EqualFold(s[:6], "digest") }) {
		byDigest := *client
		byDigest.Transport = &digest.Transport{Username: user, Password: password, Transport: client.Transport}
		return byDigest.Do(req)
	}
	req.SetBasicAuth(user, password)
	return client.Do(req)
}

// usable looks at what the camera answers.
func usable(resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // "" is no stream either
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w (%d)", errLogin, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: the camera answers %d", errStream, resp.StatusCode)
	case kind != "image/jpeg" && !strings.HasPrefix(kind, "multipart/"):
		return fmt.Errorf("%w: the camera sends %.40q", errStream, kind)
	}
	return nil
}

// read puts the pictures of a response, and where it was a single one of further
// responses, into the pump. The boundaries between parts, which some cameras get
// wrong, are not needed: a JPEG says itself where it ends.
func (t target) read(ctx context.Context, p *camera.Pump, resp *http.Response, again func() (*http.Response, error)) error {
	var fill camera.Raw
	for {
		single := strings.HasPrefix(resp.Header.Get("Content-Type"), "image/")
		err := frames(ctx, resp.Body, func(jpeg []byte) {
			fill.Data, fill.Time = append(fill.Data[:0], jpeg...), time.Now()
			p.Put(&fill)
		})
		if err != nil {
			return err
		}
		if !single {
			return errEnded
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(snapshotEvery):
		}
		if resp, err = again(); err != nil {
			return err
		}
	}
}

// frames hands over the JPEGs of a body to its end, and closes it. A body that
// stalls is cut.
func frames(ctx context.Context, body io.ReadCloser, put func([]byte)) error {
	defer body.Close()
	var stalled atomic.Bool
	watch := time.AfterFunc(stall, func() { stalled.Store(true); body.Close() })
	defer watch.Stop()
	scan := camera.ScanJPEG(body)
	for scan.Scan() {
		watch.Reset(stall)
		put(scan.Bytes())
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case stalled.Load():
		return errStalled
	}
	return scan.Err()
}

func decodeJPEG(b []byte, into *image.YCbCr) (*image.YCbCr, error) {
	whole, err := camera.CompleteJPEG(b)
	if err != nil {
		return nil, err
	}
	return picture.DecodeJPEG(whole, into, picture.Limits{Bytes: 16 << 20})
}
