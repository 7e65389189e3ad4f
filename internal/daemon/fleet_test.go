package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var fleetFlag = flag.Duration("fleet", 5*time.Second, "how long boxes and their central are killed and cut off")

// centralWord makes this test program a central.
const centralWord = "be-the-central"

// process is a daemon in a process of its own, that is killed and started again.
type process struct {
	t      *testing.T
	word   string
	dir    string
	listen string // the same each time

	mu  sync.Mutex // held while it is not running
	cmd *exec.Cmd
	log bytes.Buffer
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], p.word, "--data", p.dir, "--listen", p.listen, "--packs", packs, "--rate-key", "0", "--rate-address", "0", "--copies", "0")
	if p.word == childWord {
		p.cmd.Args = append(p.cmd.Args, "--camera", "none:")
	}
	logs, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	awaitReady(p.t, io.TeeReader(logs, &p.log))
}

// call asks through the control socket; false means that the process did not answer.
func (p *process) call(method, path string, body, answer any) (status int, ok bool) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, socketName))
	}}}
	raw, _ := json.Marshal(body)
	req, err := http.NewRequest(method, "http://sandbox"+path, bytes.NewReader(raw))
	if err != nil {
		p.t.Error(err)
		return 0, false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false
	}
	if answer != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, answer); err != nil {
			p.t.Errorf("%s %s answers %q", method, path, b)
		}
	}
	return resp.StatusCode, true
}

// must is call that has to succeed.
func (p *process) must(method, path string, body, answer any) {
	p.t.Helper()
	if status, ok := p.call(method, path, body, answer); !ok || status >= 300 {
		p.t.Fatalf("%s %s answers %d, %v\n%s", method, path, status, ok, p.log.String())
	}
}

// kill kills the process with -9 and starts it again.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	_ = p.cmd.Wait() // it was killed
	p.start()
}

func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s ended with %v\n%s", p.dir, err, p.log.String())
	}
}

// proxy stands between boxes and the central, delays what crosses it and cuts
// connections off.
type proxy struct {
	listener net.Listener
	to       string
	calm     chan struct{} // closed when it no longer does
	mu       sync.Mutex    // protects conns
	conns    map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, calm: make(chan struct{}), conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c)
		}
	}()
	return p
}

func (p *proxy) pass(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}()
	done := make(chan struct{}, 2)
	pump := func(to, from net.Conn) {
		b := make([]byte, 4<<10)
		for {
			n, err := from.Read(b)
			select {
			case <-p.calm:
			default:
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
			if _, writeErr := to.Write(b[:n]); err != nil || writeErr != nil {
				break
			}
		}
		done <- struct{}{}
	}
	go pump(up, c)
	go pump(c, up)
	<-done
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if rand.IntN(2) == 0 {
			c.Close()
		}
	}
}

// fleetRun is a central with its boxes, and what people were told.
type fleetRun struct {
	*testing.T
	central *process
	boxes   []*process

	mu     sync.Mutex // protects the fields below
	added  map[string]bool
	erased map[string]bool
}

// TestFleet: three boxes and a central, each in a process of its own, with people
// who are registered, changed and erased on all of them, while all are killed with
// -9 at random and the connections are delayed and cut off. In the end all hold the
// same people, whoever was erased is nowhere, nobody else is missing, and the
// central has each event of each box once, byte for byte.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	needNetworks(t)
	f := &fleetRun{T: t, added: map[string]bool{}, erased: map[string]bool{}}
	f.central = f.process(centralWord)
	through := newProxy(t, f.central.listen)
	var site struct{ SiteID string }
	f.central.must("POST", "/sites/", map[string]string{"name": "north"}, &site)
	for range 3 {
		b := f.process(childWord)
		var claim struct{ Code string }
		f.central.must("POST", "/claims/", map[string]string{"siteId": site.SiteID, "address": through.listener.Addr().String()}, &claim)
		b.must("POST", "/control/join", map[string]string{"code": claim.Code}, nil)
		if status, ok := b.call("POST", "/control/join", map[string]string{"code": claim.Code}, nil); !ok || status != 409 {
			t.Errorf("joining twice answers %d", status)
		}
		f.boxes = append(f.boxes, b)
	}
	f.chaos(through, *fleetFlag)
	close(through.calm)
	f.settle(time.Minute)
	for _, p := range append(slices.Clone(f.boxes), f.central) {
		p.stop()
	}
	f.compare()
}

func (f *fleetRun) process(word string) *process {
	f.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that it can have each time
	if err != nil {
		f.Fatal(err)
	}
	p := &process{t: f.T, word: word, dir: shortDir(f.T), listen: l.Addr().String()}
	l.Close()
	p.start()
	f.Cleanup(func() { _ = p.cmd.Process.Kill() }) // gone already, if all went well
	return p
}

// chaos has people come and go everywhere for a while, and everything fail.
func (f *fleetRun) chaos(through *proxy, last time.Duration) {
	end := time.After(last)
	over := make(chan struct{})
	var work sync.WaitGroup
	all := append(slices.Clone(f.boxes), f.central)
	for n, p := range all {
		work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
					f.operate(p, n, i)
				}
			}
		})
	}
	kills, cuts := 0, 0
	for done := false; !done; {
		select {
		case <-end:
			done = true
		case <-time.After(time.Duration(200+rand.IntN(500)) * time.Millisecond):
			if rand.IntN(3) == 0 {
				all[rand.IntN(len(all))].kill()
				kills++
			} else {
				through.cut()
				cuts++
			}
			p := f.boxes[rand.IntN(len(f.boxes))]
			p.call("POST", "/sync/now/", nil, nil)
		}
	}
	close(over)
	work.Wait()
	f.Logf("%d kills, %d cuts; %d people registered, %d erased", kills, cuts, len(f.added), len(f.erased))
}

// operate does one thing to a person.
func (f *fleetRun) operate(p *process, n, i int) {
	var list struct {
		Users []struct{ UserID string } `json:"users"`
	}
	if _, ok := p.call("GET", "/users/", nil, &list); !ok {
		time.Sleep(20 * time.Millisecond)
		return
	}
	what := rand.IntN(10)
	if len(list.Users) == 0 || what < 3 {
		var made struct{ UserID string }
		body := map[string]string{"firstname": "Ada", "lastname": fmt.Sprint(n), "email": fmt.Sprintf("p%d-%d-%d@example.org", n, i, rand.Uint32())}
		if status, ok := p.call("POST", "/register/", body, &made); ok && status == 201 {
			f.mu.Lock()
			f.added[made.UserID] = true
			f.mu.Unlock()
		}
		return
	}
	id := list.Users[rand.IntN(len(list.Users))].UserID
	if what < 9 {
		p.call("PUT", "/users/"+id, map[string]string{"phone": fmt.Sprint(rand.Uint32())}, nil)
		return
	}
	f.mu.Lock()
	f.erased[id] = true // asked for: a request that is cut off may have come to it
	f.mu.Unlock()
	if status, ok := p.call("DELETE", "/users/"+id, nil, nil); ok && status >= 500 {
		f.Errorf("erasing answers %d", status)
	}
}

// settle waits until everybody has everything.
func (f *fleetRun) settle(limit time.Duration) {
	f.Helper()
	last := ""
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if last = f.unsettled(); last == "" {
			return
		}
	}
	f.Fatalf("not settled: %s", last)
}

func (f *fleetRun) unsettled() string {
	want := people(f.central)
	for i, b := range f.boxes {
		var s struct {
			Phase        string
			Synced       bool
			Events, Sent uint64
			Behind       uint64
			Why          string
		}
		b.call("GET", "/sync/status/", nil, &s)
		if s.Phase != "online" {
			b.call("POST", "/sync/now/", nil, nil)
		}
		if s.Phase != "online" || s.Events != s.Sent || s.Behind != 0 {
			return fmt.Sprintf("box %d: %+v", i, s)
		}
		if got := people(b); !maps.Equal(got, want) {
			return fmt.Sprintf("box %d has %d people, the central %d", i, len(got), len(want))
		}
	}
	return ""
}

// people returns who is on a daemon, with what can change.
func people(p *process) map[string]string {
	all := map[string]string{}
	for cursor := ""; ; {
		var page struct {
			Users []struct{ UserID, Phone, Email string } `json:"users"`
			Next  string                                  `json:"nextCursor"`
		}
		if _, ok := p.call("GET", "/users/?limit=200&cursor="+cursor, nil, &page); !ok {
			return nil
		}
		for _, u := range page.Users {
			all[u.UserID] = u.Phone + " " + u.Email
		}
		if cursor = page.Next; cursor == "" || len(page.Users) == 0 {
			return all
		}
	}
}

// compare opens all stores and holds them against each other.
func (f *fleetRun) compare() {
	f.Helper()
	central := f.open(f.central)
	defer central.Close()
	f.view(central, func(tx *store.Tx) error {
		for id := range f.added {
			_, err := store.Get[store.Person](tx, store.PersonID(id))
			if gone := errors.Is(err, store.ErrNotFound); err != nil && !gone || gone && !f.erased[id] {
				f.Errorf("%s was registered: %v", id, err)
			}
		}
		return nil
	})
	erased := 0
	for i, p := range f.boxes {
		b := f.open(p)
		f.view(b, func(box *store.Tx) error {
			return central.View(f.Context(), func(tx *store.Tx) error {
				n, err := f.holds(tx, box)
				if n == 0 {
					f.Errorf("box %d has no events", i)
				}
				for id := range f.erased {
					_, here := store.Get[store.Person](box, store.PersonID(id))
					_, there := store.Get[store.Person](tx, store.PersonID(id))
					if errors.Is(here, store.ErrNotFound) != errors.Is(there, store.ErrNotFound) {
						f.Errorf("box %d, erased: %v here, %v at the central", i, here, there)
					}
					if errors.Is(here, store.ErrErased) || errors.Is(here, store.ErrNotFound) {
						erased++
					}
				}
				return err
			})
		})
		b.Close()
	}
	if erased == 0 && len(f.erased) > 0 {
		f.Error("nobody was erased")
	}
}

// holds checks that the central has a box's journal since it joined.
func (f *fleetRun) holds(tx, box *store.Tx) (n int, err error) {
	l, err := store.Get[store.Link](box, store.TheLink)
	if err != nil {
		return 0, err
	}
	info := box.Info()
	head, err := store.Head(box)
	if err != nil {
		return 0, err
	}
	held, err := store.Held(tx, info.Device)
	if err != nil {
		return 0, err
	}
	if held.Missing != 0 {
		f.Errorf("%d events of a box are missing", held.Missing)
	}
	if held.Anchor.Fault != "" {
		f.Errorf("the checkpoints of a box do not fit its journal: %s", held.Anchor.Fault)
	}
	for e, err := range store.Envelopes(box, l.Since(info.Epoch)+1, held.Head) {
		if err != nil {
			return n, err
		}
		n++
		there, err := store.ForeignEvent(tx, store.NewForeignID(info.Device, info.Epoch, e.Seq))
		if err != nil || !bytes.Equal(there.Raw, e.Raw) {
			f.Errorf("event %d of a box: %v", e.Seq, err)
		}
	}
	if want := held.Head - l.Since(info.Epoch); uint64(n) != want || held.Head > head {
		f.Errorf("%d events compared, the central has up to %d of %d", n, held.Head, head)
	}
	return n, nil
}

func (f *fleetRun) open(p *process) *bolt.Store {
	f.Helper()
	master, err := seal.ParseMaster("")
	if err != nil {
		f.Fatal(err)
	}
	master.Dir = p.dir
	s, err := bolt.Open(bolt.Path(p.dir, store.Sandbox), bolt.Options{Environment: store.Sandbox, MustExist: true, Keyring: seal.Opener(store.Sandbox, master)})
	if err != nil {
		f.Fatal(err)
	}
	var faults []string
	f.view(s, func(tx *store.Tx) error {
		_, err := store.Check(tx, func(fault store.Fault) { faults = append(faults, fault.String()) })
		return err
	})
	if len(faults) > 0 {
		f.Errorf("%s: %s", p.dir, strings.Join(faults, "; "))
	}
	return s
}

func (f *fleetRun) view(s store.Store, fn func(tx *store.Tx) error) {
	f.Helper()
	if err := s.View(f.Context(), fn); err != nil {
		f.Fatal(err)
	}
}
