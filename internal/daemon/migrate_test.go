package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

var (
	migratePeople = flag.Int("migrate", 40, "people for whom the pack is changed (make migrate)")
	migrateFaces  = flag.Int("migrate.faces", 2, "rendered faces that they are variations of")
	migrateFor    = flag.Duration("migrate.base", 200*time.Millisecond, "how long verifications are measured before the change")
)

// migration is a box with many people, as a process of its own that can be killed,
// and the packs it goes from and to.
type migration struct {
	t        *testing.T
	dir      string
	root     string // of the packs
	from, to *models.Pack
	people   []store.PersonID
	probe    []byte // a picture of people[0]

	cmd  *exec.Cmd
	url  string
	key  string
	said *syncBuffer
}

// migrateEnv has a process of this test be the daemon of a folder.
const migrateEnv = "CYPHERFACED_TEST_MIGRATE"

// TestMigration changes the pack of a box with many people, from basic to standard
// where both are there and to a second copy of basic in a space of its own where
// not, while somebody is verified without a pause and, in the short version, the
// box is killed in the middle. Nobody may be lost. With -migrate 10000 it prints
// what the change costs those who are verified meanwhile.
//
// The people are variations of rendered faces: light, contrast, shift and noise of
// the crop, so that each crop is another. They are not 10,000 different people,
// which for the work of embedding makes no difference, and a search among them
// would say nothing.
func TestMigration(t *testing.T) {
	if dir := os.Getenv(migrateEnv); dir != "" {
		err := run(context.Background(), Box, []string{"--data", dir, "--listen", "127.0.0.1:0", "--packs", filepath.Join(filepath.Dir(dir), "packs"),
			"--rate-key", "0", "--rate-address", "0", "--camera", "none:"}, func(string) string { return "" }, os.Stdout, os.Stderr)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	needNetworks(t)
	m := &migration{t: t, dir: shortDir(t)}
	m.root = filepath.Join(filepath.Dir(m.dir), "packs")
	m.choosePacks()
	m.start()
	m.kill()
	m.populate(*migratePeople, *migrateFaces)
	m.start()
	m.await(func(s state) bool { return s.Stage == "none" && s.Pack == m.from.Name && s.Done == *migratePeople })
	before := m.verifyFor(func(since time.Time) bool { return time.Since(since) < *migrateFor })

	if err := models.Use(m.root, m.to.Name); err != nil {
		t.Fatal(err)
	}
	m.control("POST", "/control/models/reload")
	began := time.Now()
	long := *migratePeople > 1000
	var during times
	if !long {
		m.await(func(s state) bool { return s.Done >= *migratePeople/3 })
		if s := m.state(); s.Pack != m.from.Name || s.ToPack != m.to.Name || s.Incomplete {
			t.Errorf("in the middle: %+v", s)
		}
		m.verify() // answers as before
		m.kill()
		m.start()
		m.verify()
	}
	during = m.verifyFor(func(time.Time) bool {
		s := m.state()
		if s.Left > 0 {
			t.Errorf("%d people are left: %s", s.Left, m.said)
		}
		return s.Pack == m.from.Name && s.Left == 0
	})
	took := time.Since(began)
	m.await(func(s state) bool { return s.Stage == "none" })
	after := m.verifyFor(func(since time.Time) bool { return time.Since(since) < *migrateFor })
	m.kill()
	m.nobodyIsLost()
	if long {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "1:1 over HTTP, ms\tp10\tp50\tp99\tverifications\n")
		fmt.Fprintf(w, "%s, before\t%v%d\n", m.from.Name, before, len(before))
		fmt.Fprintf(w, "%s, while people are embedded for %s\t%v%d\n", m.from.Name, m.to.Name, during, len(during))
		fmt.Fprintf(w, "%s, after\t%v%d\n", m.to.Name, after, len(after))
		w.Flush()
		ratio := func(share float64, to times) float64 { return float64(during.at(share)) / float64(to.at(share)) }
		fmt.Printf("%d people in %v, %.1f a second; p50 %.2f times that before and %.2f times that after, p99 %.2f and %.2f times; %d cores\n", *migratePeople, took.Round(time.Second),
			float64(*migratePeople)/took.Seconds(), ratio(.5, before), ratio(.5, after), ratio(.99, before), ratio(.99, after), runtime.NumCPU())
	}
}

// choosePacks makes a folder with two packs, the one to go from in use.
func (m *migration) choosePacks() {
	m.t.Helper()
	copyOf := func(name, as string) *models.Pack {
		p, err := models.Open(filepath.Join(packs, name))
		if err != nil {
			return nil
		}
		dir := filepath.Join(m.root, as)
		if err := os.CopyFS(dir, os.DirFS(p.Dir)); err != nil {
			m.t.Fatal(err)
		}
		if as != name { // another name is another space
			changed := p.Manifest
			changed.Name = as
			changed.Space = changed.DeriveSpace()
			b, err := changed.Encode()
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644)
			}
			if err != nil {
				m.t.Fatal(err)
			}
		}
		if p, err = models.Open(dir); err != nil {
			m.t.Fatal(err)
		}
		return p
	}
	if m.from = copyOf("basic", "basic"); m.from == nil {
		m.t.Fatal("the pack basic is not installed (make setup)")
	}
	if m.to = copyOf("standard", "standard"); m.to == nil {
		m.t.Log("the pack standard is not installed: the change is to a second copy of basic")
		m.to = copyOf("basic", "second")
	}
	if err := models.Use(m.root, m.from.Name); err != nil {
		m.t.Fatal(err)
	}
}

// start runs the daemon in a process of its own until it is ready.
func (m *migration) start() {
	m.t.Helper()
	m.cmd = exec.Command(os.Args[0], "-test.run=^TestMigration$")
	m.cmd.Env = append(os.Environ(), migrateEnv+"="+m.dir)
	log, err := m.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	cmd := m.cmd
	m.t.Cleanup(func() { cmd.Process.Kill() })
	patience := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer patience.Stop()
	ready := regexp.MustCompile(`msg=ready url=(\S+)`)
	m.url, m.said = "", &syncBuffer{}
	lines := bufio.NewScanner(io.TeeReader(log, m.said))
	for m.url == "" && lines.Scan() {
		if found := ready.FindStringSubmatch(lines.Text()); found != nil {
			m.url = found[1]
		}
	}
	if m.url == "" {
		m.t.Fatalf("not ready:\n%s", m.said)
	}
	go io.Copy(m.said, log)
	raw, err := os.ReadFile(filepath.Join(m.dir, bootstrapName))
	var boot bootstrapFile
	if err := errors.Join(err, json.Unmarshal(raw, &boot)); err != nil {
		m.t.Fatal(err)
	}
	m.key = boot.APIKey
}

func (m *migration) kill() {
	m.t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	m.cmd.Wait() // it was killed
}

// open opens the store of the box, which does not run.
func (m *migration) open() store.Store {
	m.t.Helper()
	set, err := parseSettings(Box, []string{"--data", m.dir, "--packs", m.root}, io.Discard)
	if err != nil {
		m.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b, err := newBox(set, func(string) string { return "" }, log)
	if err != nil {
		m.t.Fatal(err)
	}
	s, _, err := b.openStore(store.Sandbox, log)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// populate enrols people with the pack to go from: a few rendered faces, varied.
func (m *migration) populate(people, faces int) {
	m.t.Helper()
	e, networks, err := tflite.OpenEngine(m.from, tflite.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	defer networks.Close()
	crops := m.faces(e, faces)
	s := m.open()
	defer s.Close()
	merchants, err := firstMerchant(m.t.Context(), s)
	if err != nil || len(merchants) == 0 {
		m.t.Fatalf("no merchant: %v", err)
	}
	m.people = make([]store.PersonID, people)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	const batch = 50
	for first := 0; first < people; first += batch {
		g.Go(func() error {
			made, err := m.enrolled(e, merchants[0].ID, crops, first, min(first+batch, people))
			if err != nil {
				return err
			}
			return s.Update(context.Background(), systemCause, func(tx *store.Tx) error {
				for i := range made {
					one := made[i]
					if err := errors.Join(store.Put(tx, &one.person), store.Put(tx, &one.crop), store.Put(tx, &one.template)); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

// faces renders faces and cuts their crops; the first is kept as a probe.
func (m *migration) faces(e *engine.Engine, n int) []engine.Crop {
	m.t.Helper()
	crops := make([]engine.Crop, n)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error {
			img := synthface.Render(synthface.Scene{}, synthface.Subject{Person: synthface.NewPerson(int64(1000 + i))}).Image
			found, err := e.Detect(context.Background(), img)
			if err != nil || len(found) == 0 {
				return fmt.Errorf("no face in rendering %d: %v", i, err)
			}
			crops[i] = e.Crop(img, found[0])
			if i == 0 {
				m.probe, err = picture.EncodeJPEG(img, 95)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		m.t.Fatal(err)
	}
	return crops
}

// enrolment is somebody as a box keeps him.
type kept struct {
	person   store.Person
	crop     store.Crop
	template store.Template
}

func (m *migration) enrolled(e *engine.Engine, merchant store.MerchantID, faces []engine.Crop, from, to int) (made []kept, err error) {
	now := time.Now()
	for n := from; n < to; n++ {
		crop := faces[n%len(faces)]
		if n > 0 {
			crop.Image = vary(crop.Image, uint64(n))
		}
		raw, err := picture.EncodeJPEG(crop.Image, 95)
		if err != nil {
			return nil, err
		}
		vector, err := e.EmbedCrop(context.Background(), crop)
		if err != nil {
			return nil, err
		}
		id := store.NewID[store.PersonID](now)
		m.people[n] = id
		k := kept{
			person:   store.Person{ID: id, Merchant: merchant, Firstname: "P", Lastname: fmt.Sprint(n), Email: fmt.Sprintf("p%d@example.org", n), Status: store.PersonEnrolled, EnrolledAt: now.UTC()},
			crop:     store.Crop{ID: store.NewID[store.CropID](now), Merchant: merchant, Person: id, Source: "test", Image: raw},
			template: store.Template{ID: store.NewTemplateID(id, e.Space()), Merchant: merchant, Person: id, Space: e.Space(), Crops: 1, Vector: vector},
		}
		for _, p := range crop.Landmarks {
			k.crop.Landmarks = append(k.crop.Landmarks, store.Point{X: float32(p.X), Y: float32(p.Y)})
		}
		made = append(made, k)
	}
	return made, nil
}

// vary makes another crop of one: brighter or darker, with more or less contrast,
// moved by up to two pixels, and with noise, as the seed says.
func vary(img *image.YCbCr, seed uint64) *image.YCbCr {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	gain, lift := 0.85+0.3*r.Float64(), 40*r.Float64()-20
	dx, dy := r.IntN(5)-2, r.IntN(5)-2
	out := image.NewYCbCr(img.Rect, img.SubsampleRatio)
	copy(out.Cb, img.Cb)
	copy(out.Cr, img.Cr)
	size := img.Rect.Dx()
	for y := range size {
		for x := range size {
			v := img.Y[min(max(y+dy, 0), size-1)*img.YStride+min(max(x+dx, 0), size-1)]
			out.Y[y*out.YStride+x] = uint8(min(max(128+gain*(float64(v)-128)+lift+4*r.NormFloat64(), 0), 255))
		}
	}
	return out
}

// state is what GET /migration/ says.
type state struct {
	Stage, Pack, ToPack string
	Incomplete          bool
	People, Done, Left  int
}

func (m *migration) state() (s state) {
	m.t.Helper()
	var out struct{ Migration *state }
	out.Migration = &s
	m.call("GET", "/migration/", nil, &out)
	return s
}

func (m *migration) await(ok func(state) bool) {
	m.t.Helper()
	for end := time.Now().Add(30 * time.Minute); !ok(m.state()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("not reached: %+v", m.state())
		}
	}
}

func (m *migration) call(method, path string, body []byte, out any) {
	m.t.Helper()
	req, err := http.NewRequest(method, m.url+path, bytes.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.key)
	req.Header.Set("Content-Type", "application/json")
	m.do(http.DefaultClient, req, out)
}

// control calls through the control socket.
func (m *migration) control(method, path string) {
	m.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(m.dir, "control.sock"))
	}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(method, "http://sandbox"+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	m.do(c, req, nil)
}

func (m *migration) do(c *http.Client, req *http.Request, out any) {
	m.t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil || resp.StatusCode >= 300 {
		m.t.Fatalf("%s %s: %d %v: %s", req.Method, req.URL.Path, resp.StatusCode, err, raw)
	}
}

// verify compares the probe with its person, who must match.
func (m *migration) verify() time.Duration {
	m.t.Helper()
	body, err := json.Marshal(map[string]string{"userId": string(m.people[0]), "imageData": base64.StdEncoding.EncodeToString(m.probe)})
	if err != nil {
		m.t.Fatal(err)
	}
	var out struct{ Match bool }
	began := time.Now()
	m.call("POST", "/face-scan/", body, &out)
	if !out.Match {
		m.t.Error("who is enrolled does not match")
	}
	return time.Since(began)
}

// verifyFor verifies for as long as more says, with short pauses, as people do who
// come one after the other.
func (m *migration) verifyFor(more func(since time.Time) bool) (all times) {
	m.t.Helper()
	began := time.Now()
	for more(began) && !m.t.Failed() {
		all = append(all, m.verify())
		time.Sleep(time.Duration(rand.Int64N(int64(100 * time.Millisecond))))
	}
	return all
}

// nobodyIsLost reads the store: everybody has a template of the new space, and of
// no other, and the change says so.
func (m *migration) nobodyIsLost() {
	m.t.Helper()
	s := m.open()
	defer s.Close()
	err := s.View(m.t.Context(), func(tx *store.Tx) error {
		for _, id := range m.people {
			var spaces []string
			for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(id)) {
				if err != nil {
					return err
				}
				spaces = append(spaces, t.Space)
			}
			if len(spaces) != 1 || spaces[0] != m.to.Space {
				m.t.Errorf("%s has templates of %v", id, spaces)
			}
		}
		rec, err := store.Get[store.Migration](tx, store.TheMigration)
		if err == nil && (rec.Serving() != m.to.Space || len(rec.Drop) > 0 || rec.Left > 0) {
			err = fmt.Errorf("the record says %+v", rec)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	space, err := verify.Serving(m.t.Context(), s, m.from.Space)
	if err != nil || space != m.to.Space {
		m.t.Errorf("%s answers, %v", space, err)
	}
}
