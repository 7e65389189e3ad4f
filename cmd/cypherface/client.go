package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// boxFlags say which box a command is about.
type boxFlags struct{ data, packs, masterKey, env, merchant *string }

func addBoxFlags(fs *flag.FlagSet, t *terminal) boxFlags {
	dir := t.getenv("CYPHERFACE_DATA")
	if dir == "" {
		dir = "data"
	}
	return boxFlags{
		data:      fs.String("data", dir, "`folder` of the box's data; $CYPHERFACE_DATA names another default"),
		packs:     fs.String("packs", "", "`folder` of the packs, where no box is running"),
		masterKey: fs.String("master-key", "", "`place` of the box's master key, as its setting says, where no box is running"),
		env:       fs.String("env", string(store.Sandbox), "`environment` of the box: sandbox or production"),
		merchant:  fs.String("merchant-id", "", "for which merchant, where the box has several (cypherface accounts merchants)"),
	}
}

// A client speaks the API as an operator of the box: through the control socket
// of the daemon, or where none runs, by opening the data itself.
type client struct {
	http  http.Client
	env   store.Environment
	close []func() error

	merchant string // "" is the only one
}

// connect reaches the box. recognise says that faces will be recognised, which
// takes the networks where no daemon has them loaded.
func (f boxFlags) connect(ctx context.Context, t *terminal, recognise bool) (*client, error) {
	c, err := f.reach(ctx, t, recognise)
	if err == nil {
		c.merchant = *f.merchant
	}
	return c, err
}

func (f boxFlags) reach(ctx context.Context, t *terminal, recognise bool) (*client, error) {
	if !f.environment().Valid() {
		return nil, fmt.Errorf("reach the box: it has no environment %q (--env sandbox or --env production)", *f.env)
	}
	path := f.socket()
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		return socketClient(path, f.environment()), nil
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("reach the box: %w (run this as the user of the box, or as root: sudo cypherface …)", err)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("reach the box: %w", err)
	}
	c, err := f.open(ctx, t, recognise)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.environment() == store.Production:
		return nil, errors.New("reach the box: the production environment is not enabled (cypherface env enable production)")
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reach the box: there is none in %s (cypherfaced --data %s starts one; --data DIR names another)", *f.data, *f.data)
	}
	return c, err
}

func (f boxFlags) environment() store.Environment { return store.Environment(*f.env) }

func (f boxFlags) socket() string { return filepath.Join(*f.data, "control.sock") }

// socketClient speaks to a daemon through its control socket.
func socketClient(path string, env store.Environment) *client {
	return &client{env: env, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// open serves the API in this process.
func (f boxFlags) open(ctx context.Context, t *terminal, recognise bool) (_ *client, err error) {
	c := &client{env: f.environment()}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	master, err := f.master(t)
	if err != nil {
		return nil, err
	}
	s, err := f.openStore(master)
	if err != nil {
		return nil, err
	}
	c.close = append(c.close, s.Close)
	conf := api.Config{Store: s, Status: func() api.Status { return api.Status{Camera: "none", Reason: "no daemon is running"} }}
	if conf.Authority, err = auth.Open(ctx, s, nil); err != nil {
		return nil, err
	}
	log, err := audit.Open(ctx, audit.Config{Store: s, Dir: audit.Dir(*f.data, c.env)})
	if err != nil {
		return nil, err
	}
	c.close = append(c.close, log.Close)
	conf.Audit = log
	// None is made here, where nothing can cut it; but erasures reach those of the daemon.
	exports, err := bulk.OpenExports(s, filepath.Join(*f.data, string(c.env), "exports"), nil)
	if err != nil {
		return nil, err
	}
	c.close = append(c.close, func() error { exports.Close(); return nil })
	if recognise {
		e, pack, networks, err := packFlags{f.packs, new(string)}.open(ctx, t, tflite.Options{})
		if err != nil {
			return nil, err
		}
		c.close = append(c.close, networks.Close)
		old, err := f.before(ctx, t, s, pack)
		if err != nil {
			return nil, err
		}
		service, err := verify.New(ctx, verify.Config{Store: s, Pack: pack.Name, Engine: e, Calibration: &pack.Calibration, Old: old})
		if err != nil {
			return nil, err
		}
		c.close = append(c.close, func() error { service.Close(); return nil })
		conf.Verifier, conf.Detector = service, e
		queue, err := bulk.Open(ctx, bulk.Config{Store: s, Enroller: service, Dir: filepath.Join(*f.data, string(c.env), "bulk"), Valid: api.BulkIssue})
		if err != nil {
			return nil, err
		}
		conf.Bulk = queue
		working, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- queue.Run(working) }()
		c.close = append(c.close, func() error { stop(); return <-ended })
	}
	a, err := api.New(conf)
	if err != nil {
		return nil, err
	}
	c.close = append(c.close, func() error { a.Close(); return nil })
	c.http.Transport = inProcess{a.Control()}
	return c, nil
}

// before opens the pack that the people of a store still answer by, where that is
// not the one that was chosen, and is there; nil otherwise.
func (f boxFlags) before(ctx context.Context, t *terminal, s store.Store, chosen *models.Pack) (*verify.Pack, error) {
	space, err := verify.Serving(ctx, s, chosen.Space)
	if err != nil || space == chosen.Space {
		return nil, err
	}
	pack, err := models.OfSpace(models.Root(*f.packs, t.getenv), space)
	if errors.Is(err, models.ErrNoPack) {
		return nil, nil // a search finds who is embedded already
	}
	if err == nil {
		err = tflite.ProbeOnce(ctx, "", pack)
	}
	if err != nil {
		return nil, err
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if err != nil {
		return nil, err
	}
	return &verify.Pack{Name: pack.Name, Engine: e, Calibration: &pack.Calibration, Release: func() { networks.Close() }}, nil
}

// Close lets go of the box.
func (c *client) Close() error {
	var errs []error
	for len(c.close) > 0 {
		last := len(c.close) - 1
		errs = append(errs, c.close[last]())
		c.close = c.close[:last]
	}
	return errors.Join(errs...)
}

// call sends a request and reads the answer into out. An answer that is no
// success is an error in the words of the API.
func (c *client) call(ctx context.Context, method, path string, body any, out any) error {
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fmt.Errorf("read the box's answer: %w", err)
	}
	return nil
}

// send is call for answers that are read as they come.
func (c *client) send(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	resp, err := c.answer(ctx, method, path, body, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// answer is send with headers, those of the answer too.
func (c *client) answer(ctx context.Context, method, path string, body any, header map[string]string) (*http.Response, error) {
	contentType := "application/json"
	var r io.Reader = http.NoBody
	switch body := body.(type) {
	case nil:
	case *pictures:
		r, contentType = &body.body, body.contentType
	case upload:
		r, contentType = body.Reader, body.contentType
	default:
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+string(c.env)+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if c.merchant != "" {
		req.Header.Set("merchantId", c.merchant)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the box: %w", err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// refused is an answer that is no success.
type refused struct {
	status  int
	Message string                          `json:"message"`
	Details []struct{ Field, Issue string } `json:"details"`
}

// Error puts the error body of the API into a line.
func (r *refused) Error() string {
	var details []string
	for _, d := range r.Details {
		details = append(details, d.Field+" "+d.Issue)
	}
	if len(details) == 0 {
		return r.Message
	}
	return r.Message + " (" + strings.Join(details, ", ") + ")"
}

// picture reports whether another picture could help: there was no face, or
// not a good one.
func (r *refused) picture() bool {
	return r.status == http.StatusUnprocessableEntity && len(r.Details) > 0 && r.Details[0].Field == "image"
}

func refusal(resp *http.Response) error {
	r := &refused{status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(r); err != nil || r.Message == "" {
		return fmt.Errorf("the box answered %s", resp.Status)
	}
	return r
}

// Times of waiting for somebody before the camera.
const (
	cameraWait  = 90 * time.Second // the demo people of a first start are drawn within a minute
	cameraPause = 300 * time.Millisecond
)

// look is call about what the camera sees. It waits until somebody stands there
// and the picture is good enough, and says what the person could do.
func (c *client) look(ctx context.Context, t *terminal, path string, out any) error {
	for begin, told := time.Now(), ""; ; {
		err := c.call(ctx, "POST", path, map[string]string{"source": "camera"}, out)
		var r *refused
		if !errors.As(err, &r) || !r.picture() || time.Since(begin) > cameraWait {
			return err
		}
		ask := engine.Reason(r.Details[0].Issue).Hint()
		if ask == "" && told == "" {
			ask = "waiting for somebody before the camera …"
		}
		if ask != "" && ask != told {
			fmt.Fprintln(t.err, ask)
			told = ask
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(cameraPause):
		}
	}
}

// upload is a body that is sent as it is.
type upload struct {
	io.Reader
	contentType string
}

// pictures is a form with files in the field image.
type pictures struct {
	body        bytes.Buffer
	contentType string
}

func readPictures(files []string, fields map[string]string) (*pictures, error) {
	p := &pictures{}
	w := multipart.NewWriter(&p.body)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			return nil, err
		}
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		part, err := w.CreateFormFile("image", "image") // the name is nobody's business
		if err != nil {
			return nil, err
		}
		if _, err := part.Write(b); err != nil {
			return nil, err
		}
	}
	p.contentType = w.FormDataContentType()
	return p, w.Close()
}

// inProcess is an http.RoundTripper that calls a handler.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	body, out := io.Pipe()
	w := &answer{header: http.Header{}, started: make(chan struct{}), out: out}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.handler.ServeHTTP(w, req.WithContext(api.AsPeer(req.Context(), uint32(os.Getuid()))))
		w.WriteHeader(http.StatusOK)
		out.Close()
	}()
	<-w.started
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Header: w.header, Body: &answerBody{body, ended}, Request: req,
	}, nil
}

// answer passes on what a handler writes.
type answer struct {
	header  http.Header
	status  int
	started chan struct{} // closed when the status is known
	out     *io.PipeWriter
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
		close(a.started)
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(b)
}

// answerBody is what is read of an answer. When it is closed, the handler has
// ended.
type answerBody struct {
	*io.PipeReader
	ended <-chan struct{}
}

func (b *answerBody) Close() error {
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
