package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

var setup = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// box is an API over a real store, with people whom it recognises by colour: an
// image of one colour shows that person, a grey one nobody, a white one two.
type box struct {
	*api.API
	t        testing.TB
	store    store.Store
	auth     *auth.Authority
	journal  *audit.Log
	env      store.Environment
	dir      string
	server   *httptest.Server
	unsure   atomic.Bool // of the time
	ticks    atomic.Int64
	url      string
	merchant store.MerchantID
	apiKey   string
	now      time.Time
	status   api.Status
	faces    *colours
	idle     func() // ends what is done in the background
	strange  bool   // its parts fail as they never do: statuses need not be those of the contract
}

func newBox(t testing.TB, env store.Environment) *box {
	t.Helper()
	b := &box{t: t, env: env, dir: t.TempDir(), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), status: api.Status{Ready: true, Camera: "live", Pack: "standard"}}
	b.faces = &colours{enrolled: map[store.PersonID]color.Color{}}
	b.boot()
	t.Cleanup(b.shut)
	b.merchant, b.apiKey = b.newMerchant("Test", auth.Scopes()...)
	return b
}

// boot opens the box over its data, new or not.
func (b *box) boot() {
	b.t.Helper()
	clock := func() time.Time { return b.now }
	s, err := bolt.Open(filepath.Join(b.dir, "store.db"), bolt.Options{Environment: b.env, NoSync: true, Clock: func() time.Time {
		return clock().Add(time.Duration(b.ticks.Add(1)) * time.Microsecond) // no two changes at once
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store, b.faces.store = s, s
	if b.auth, err = auth.Open(context.Background(), s, clock); err != nil {
		b.t.Fatal(err)
	}
	if b.journal, err = audit.Open(context.Background(), audit.Config{Store: s, Dir: filepath.Join(b.dir, "audit"), Clock: clock}); err != nil {
		b.t.Fatal(err)
	}
	queue, err := bulk.Open(context.Background(), bulk.Config{Store: s, Enroller: b.faces, Dir: filepath.Join(b.dir, "bulk"), Valid: api.BulkIssue})
	if err != nil {
		b.t.Fatal(err)
	}
	exports, err := bulk.OpenExports(s, filepath.Join(b.dir, "exports"), clock)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { queue.Run(ctx) })
	b.idle = func() { stop(); working.Wait(); exports.Close() }
	b.API, err = api.New(api.Config{
		Store: s, Authority: b.auth, Verifier: b.faces, Detector: b.faces, Camera: b.faces, Audit: b.journal, Bulk: queue, Exports: exports,
		Version: "test", Status: func() api.Status { return b.status }, Clock: clock, TimeSure: func() bool { return !b.unsure.Load() },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.server = httptest.NewServer(b.Public())
	b.url = b.server.URL
}

// shut closes what boot opened.
func (b *box) shut() {
	b.idle()
	b.Close()
	b.server.Close()
	b.journal.Close()
	b.store.Close()
}

// restart is that of the daemon: nothing that was in memory is left.
func (b *box) restart() {
	b.t.Helper()
	b.shut()
	b.boot()
}

// wait lets time pass.
func (b *box) wait(d time.Duration) { b.now = b.now.Add(d) }

// newMerchant makes a merchant with one key.
func (b *box) newMerchant(name string, scopes ...auth.Permission) (store.MerchantID, string) {
	b.t.Helper()
	m := store.Merchant{ID: store.NewID[store.MerchantID](b.now), Name: name, Status: store.Active}
	apiKey, key := b.auth.NewKey(m.ID, "first", store.RoleIntegrator, scopes...)
	b.update(func(tx *store.Tx) error { return errors.Join(store.Put(tx, &m), store.Put(tx, &key)) })
	return m.ID, apiKey
}

// must is for what does not fail.
func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) update(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(context.Background(), setup, fn); err != nil {
		b.t.Fatal(err)
	}
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// text is a string of the body, by its name.
func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// call sends a request with the box's key; body is a string (JSON), a form, an
// upload, or nil.
func (b *box) call(method, path string, body any) answer {
	b.t.Helper()
	return b.callAs("Bearer "+b.apiKey, method, path, body)
}

func (b *box) callAs(authorization, method, path string, body any) answer {
	b.t.Helper()
	var r io.Reader
	contentType := ""
	switch body := body.(type) {
	case string:
		r, contentType = strings.NewReader(body), "application/json"
	case upload:
		r, contentType = bytes.NewReader(body.data), body.contentType
	}
	if !strings.HasPrefix(path, "http") {
		path = b.url + path
	}
	req, err := http.NewRequest(method, path, r)
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return b.send(req)
}

func (b *box) send(req *http.Request) answer {
	b.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		b.t.Errorf("%s %s redirects", req.Method, req.URL.Path)
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if err := theContract(b.t).check(req.Method, req.URL.Path, resp.StatusCode, resp.Header, raw); err != nil && !b.strange {
		b.t.Errorf("%v\n%s", err, raw)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			b.t.Fatalf("%s %s: %v in %s", req.Method, req.URL.Path, err, raw)
		}
	}
	return a
}

// sweep has what expired removed until it is so, and says whether it was within d.
func (b *box) sweep(d time.Duration, until func() bool) bool {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.t.Context())
	swept := make(chan error)
	go func() { swept <- b.Sweep(ctx) }()
	defer func() {
		stop()
		if err := <-swept; err != nil {
			b.t.Error(err)
		}
	}()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if until() {
			return true
		}
	}
	return false
}

// want fails the test unless the answer has the status and, for an error, the
// one body of errors.
func (b *box) want(a answer, status int) answer {
	b.t.Helper()
	if a.status != status {
		b.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	if status >= 400 {
		if a.body["success"] != false || a.body["status"] != float64(status) || a.text("code") == "" ||
			a.text("message") == "" || a.text("error") != a.text("message") || a.text("requestId") != a.header.Get("X-Request-Id") {
			b.t.Errorf("error body %s", a.raw)
		}
	}
	return a
}

// register makes a user and returns the id.
func (b *box) register(name string) string {
	b.t.Helper()
	a := b.want(b.call("POST", "/register/", fmt.Sprintf(`{"firstname":%q,"lastname":"Test","email":"%s@example.org"}`, name, strings.ToLower(name))), 201)
	return a.text("userId")
}

// link asks for an upload link.
func (b *box) link(user, kind string) answer {
	b.t.Helper()
	return b.call("POST", "/api/upload/generate-url/",
		fmt.Sprintf(`{"userId":%q,"imageName":"a.jpg","contentType":"image/jpeg","type":%q}`, user, kind))
}

// An upload is a body that is not JSON.
type upload struct {
	data        []byte
	contentType string
}

var (
	red, blue = color.NRGBA{200, 20, 20, 255}, color.NRGBA{20, 20, 200, 255}
	nobody    = color.NRGBA{128, 128, 128, 255}
	crowd     = color.NRGBA{255, 255, 255, 255}
	blurred   = color.NRGBA{20, 200, 20, 255}
)

func jpegOf(c color.Color) upload {
	img := image.NewNRGBA(image.Rect(0, 0, 32, 24))
	for i := range 32 * 24 {
		img.Set(i%32, i/32, c)
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // into memory
	return upload{b.Bytes(), "image/jpeg"}
}

func pngOf(c color.Color) upload {
	var b bytes.Buffer
	img := image.NewNRGBA(image.Rect(0, 0, 32, 24))
	for i := range 32 * 24 {
		img.Set(i%32, i/32, c)
	}
	_ = png.Encode(&b, img) // into memory
	return upload{b.Bytes(), "image/png"}
}

// form is a multipart body with files under one name.
func form(name string, files ...upload) upload {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename="../%d [x].jpg"`, name, i))
		h.Set("Content-Type", f.contentType)
		part, _ := w.CreatePart(h) // into memory
		_, _ = part.Write(f.data)
	}
	_ = w.Close()
	return upload{b.Bytes(), w.FormDataContentType()}
}

// colours is a fake of engine and verify.Service that keeps the contract of
// both: errors, Also, events.
type colours struct {
	store    store.Store
	mu       sync.Mutex // protects the fields below
	enrolled map[store.PersonID]color.Color
	sees     color.Color // of the camera; nil: nothing
	fail     error       // of every call
	twins    []verify.Twin
	// duplicates has an enrolment tell of who has the same colour.
	duplicates bool
}

// seen is the colour of an image, coarse enough to survive JPEG.
func seen(img image.Image) color.NRGBA {
	c := color.NRGBAModel.Convert(img.At(5, 5)).(color.NRGBA)
	coarse := func(v uint8) uint8 { return v / 64 }
	return color.NRGBA{coarse(c.R), coarse(c.G), coarse(c.B), 255}
}

func same(img image.Image, c color.Color) bool {
	if c == nil {
		return false // nobody's face
	}
	one := image.NewNRGBA(image.Rect(0, 0, 9, 9))
	one.Set(5, 5, c)
	return seen(img) == seen(one)
}

func (f *colours) Detect(_ context.Context, img image.Image) ([]engine.Face, error) {
	face := engine.Face{
		Box: engine.Rect{X0: -3.2, Y0: 6, X1: 16, Y1: 18}, Score: 0.987654,
		Landmarks: [5]engine.Point{{X: 8, Y: 9}, {X: 16, Y: 9}, {X: 12, Y: 12}, {X: 9, Y: 15}, {X: 15, Y: 15}},
		Pose:      engine.Pose{Roll: 1, Yaw: -2.345, Pitch: 3}, Quality: engine.Quality{Brightness: 0.5, Sharpness: 0.25},
	}
	switch {
	case f.fail != nil:
		return nil, f.fail
	case same(img, nobody):
		return nil, nil
	case same(img, crowd):
		return []engine.Face{face, face}, nil
	}
	return []engine.Face{face}, nil
}

// check is what the workflow refuses.
func (f *colours) check(op string, img image.Image) error {
	switch {
	case f.fail != nil:
		return f.fail
	case same(img, nobody):
		return &verify.Error{Op: op, Err: verify.ErrNoFace}
	case same(img, crowd):
		return &verify.Error{Op: op, Err: verify.ErrSeveralFaces}
	case same(img, blurred):
		return &verify.Error{Op: op, Err: verify.ErrLowQuality, Reasons: []string{"blurred", "too_small"}}
	}
	return nil
}

func (f *colours) Enrol(ctx context.Context, r verify.EnrolRequest) (verify.Enrolment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := verify.Enrolment{Person: r.Person, Faces: 1, Crops: len(r.Images)}
	for _, img := range r.Images {
		if err := f.check("enrol", img); err != nil {
			return e, err
		}
	}
	if r.Check {
		return e, nil
	}
	for id, c := range f.enrolled {
		if f.duplicates && c == r.Images[0].At(5, 5) {
			e.PossibleDuplicateOf = id
		}
	}
	err := f.store.Update(ctx, r.Cause, func(tx *store.Tx) error {
		if r.New != nil {
			p := *r.New
			if err := store.Put(tx, &p); err != nil {
				return err
			}
		}
		p, err := store.GetOf[store.Person](tx, r.Merchant, r.Person)
		if errors.Is(err, store.ErrNotFound) {
			err = &verify.Error{Op: "enrol", Err: verify.ErrUnknownPerson}
		}
		if err != nil {
			return err
		}
		m, err := store.Get[store.Merchant](tx, r.Merchant)
		if err == nil {
			err = store.MayEnrol(tx, &m, p.ID)
		}
		if errors.Is(err, store.ErrNoConsent) {
			err = &verify.Error{Op: "enrol", Err: verify.ErrNoConsent}
		}
		if err != nil {
			return err
		}
		p.Status, p.EnrolledAt = store.PersonEnrolled, tx.Time()
		if err := store.Put(tx, &p); err != nil {
			return err
		}
		if _, err := store.Append(tx, store.Event{Kind: store.EventEnrolment, Merchant: r.Merchant, Person: r.Person, Outcome: store.OutcomeDone}, nil); err != nil || r.Also == nil {
			return err
		}
		return r.Also(tx, e)
	})
	if err == nil {
		f.enrolled[r.Person] = r.Images[0].At(5, 5)
	}
	return e, err
}

func (f *colours) Twins(context.Context, store.MerchantID, *verify.Batch) ([]verify.Twin, error) {
	return f.twins, nil
}

func (f *colours) Verify(ctx context.Context, r verify.VerifyRequest) (verify.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.known(ctx, r.Merchant, r.Person); err != nil {
		return verify.Result{}, err
	}
	if err := f.check("verify", r.Image); err != nil {
		return verify.Result{}, err
	}
	res := verify.Result{Match: same(r.Image, f.enrolled[r.Person]), Similarity: 12.3456, Threshold: 80, Faces: 1}
	if res.Match {
		res.Similarity = 97.4549
	}
	outcome := map[bool]store.Outcome{true: store.OutcomeMatch, false: store.OutcomeNoMatch}[res.Match]
	err := f.store.Update(ctx, r.Cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: r.Merchant, Person: r.Person, Action: "verify", Outcome: outcome}, nil)
		if err != nil || r.Also == nil {
			return err
		}
		return r.Also(tx, res)
	})
	return res, err
}

func (f *colours) Identify(_ context.Context, r verify.IdentifyRequest) (verify.Identification, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := verify.Identification{Similarity: 12.3, Threshold: 91.234, Gallery: len(f.enrolled), Faces: 1}
	if err := f.check("identify", r.Image); err != nil {
		return res, err
	}
	for id, c := range f.enrolled {
		if same(r.Image, c) {
			res.Match, res.Person, res.Similarity = true, id, 97.4549
			res.Candidates = []verify.Candidate{{Person: id, Similarity: 97.4549}}
		}
	}
	return res, nil
}

// known refuses people of other merchants.
func (f *colours) known(ctx context.Context, m store.MerchantID, id store.PersonID) error {
	return f.store.View(ctx, func(tx *store.Tx) error {
		_, err := store.GetOf[store.Person](tx, m, id)
		if errors.Is(err, store.ErrNotFound) {
			err = &verify.Error{Op: "verify", Err: verify.ErrUnknownPerson}
		}
		return err
	})
}

// Live holds that somebody is alive in frames of one colour that are not the same
// to the byte.
func (f *colours) Live(ctx context.Context, r verify.LiveRequest) (verify.LiveResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return verify.LiveResult{}, f.fail
	}
	res := verify.LiveResult{Confidence: 20, Box: engine.Rect{X0: 4, Y0: 3, X1: 20, Y1: 21}, Size: image.Pt(32, 24)}
	res.Similarity, res.Threshold, res.Faces = 12.3456, 80, 1
	if err := f.known(ctx, r.Merchant, r.Person); err != nil {
		return res, err
	}
	if f.enrolled[r.Person] == nil {
		return res, &verify.Error{Op: "verify", Err: verify.ErrNotEnrolled}
	}
	if r.Refused != "" {
		res.Reasons = append(res.Reasons, r.Refused)
	}
	if r.Repeated {
		res.Reasons = append(res.Reasons, verify.ReasonRepeated)
	}
	if res.Live = len(res.Reasons) == 0; res.Live {
		res.Confidence = 70
	}
	var first image.Image
	for frame, err := range r.Frames {
		if err != nil {
			return res, err
		}
		first = frame.Image
		break
	}
	if same(first, f.enrolled[r.Person]) {
		res.Similarity, res.Match = 97.4549, res.Live
	}
	err := f.store.Update(ctx, r.Cause, func(tx *store.Tx) error { return r.Also(tx, res) })
	return res, err
}

func (f *colours) Snapshot(context.Context) (image.Image, error) {
	if f.sees == nil {
		return nil, errors.New("no such device")
	}
	return jpeg.Decode(bytes.NewReader(jpegOf(f.sees).data))
}

// Merge moves the colour of who is no more to who stays, unless both have another.
func (f *colours) Merge(ctx context.Context, r verify.MergeRequest) (verify.Merged, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range []store.PersonID{r.Into, r.From} {
		if err := f.known(ctx, r.Merchant, id); err != nil {
			return verify.Merged{}, err
		}
	}
	into, from := f.enrolled[r.Into], f.enrolled[r.From]
	if into != nil && from != nil && into != from {
		return verify.Merged{}, &verify.Error{Op: "merge", Err: verify.ErrOtherFace}
	}
	m := verify.Merged{Crops: 2}
	err := f.store.Update(ctx, r.Cause, r.Move)
	if err == nil && from != nil {
		f.enrolled[r.Into] = from
		delete(f.enrolled, r.From)
	}
	return m, err
}
