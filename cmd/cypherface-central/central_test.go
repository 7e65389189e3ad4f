package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/sync/host"
	"github.com/cypherface/edge/sync/uplink"
)

// childWord makes this test program the command itself.
const childWord = "be-the-central"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childWord {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
		return
	}
	os.Exit(m.Run())
}

const testPacks = "../../.deps/packs"

// running is a central in a process of its own.
type running struct {
	*testing.T
	dir string
	cmd *exec.Cmd
	log bytes.Buffer // whole once cmd has ended
}

// startCentral starts one, and stops it when the test ends.
func startCentral(t *testing.T) *running {
	t.Helper()
	if _, err := tflite.Load(nil, tflite.Options{}); errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip("built without TensorFlow Lite")
	}
	dir, err := os.MkdirTemp("", "central") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &running{T: t, dir: filepath.Join(dir, "data")}
	c.cmd = exec.Command(os.Args[0], childWord, "--data", c.dir, "--listen", "127.0.0.1:0", "--packs", testPacks, "--copies", "0")
	logs, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-read
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("the central ended with %v\n%s", err, c.log.String())
		}
	})
	ready := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewReader(io.TeeReader(logs, &c.log))
		for told := false; ; {
			line, err := lines.ReadString('\n')
			if !told && (err != nil || strings.Contains(line, "msg=ready")) {
				told = true
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	<-ready
	return c
}

// run runs a command against the central.
func (c *running) run(args ...string) (string, error) {
	c.Helper()
	var out bytes.Buffer
	known, err := runCommand(c.Context(), append(args, "--data", c.dir), &out)
	if !known {
		c.Fatalf("%v is no command", args)
	}
	return out.String(), err
}

// must runs a command with --json that has to succeed.
func (c *running) must(answer any, args ...string) {
	c.Helper()
	out, err := c.run(append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), answer)
	}
	if err != nil {
		c.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func (c *running) devices() (list []device) {
	c.Helper()
	c.must(&list, "devices")
	return list
}

// box is the store of a box, without its daemon.
func newBox(t *testing.T) *join.Box {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &join.Box{Store: s, Merchant: store.NewID[store.MerchantID](time.Now()), Name: "gate", Cause: benchCause}
	if err := s.Update(t.Context(), benchCause, func(tx *store.Tx) error {
		return store.Put(tx, &store.Merchant{ID: b.Merchant, Status: store.Active})
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// runBox connects a box, until the test ends.
func runBox(t *testing.T, b *join.Box) *host.Box {
	h := host.NewBox(host.BoxConfig{Store: b.Store, Uplink: uplink.Config{First: time.Millisecond}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Run(ctx) }() // its status tells
	t.Cleanup(func() { cancel(); <-ended })
	return h
}

func await(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !fn(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

func status(err error) int {
	var refused *join.Refused
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

// TestCentral is a central with the boxes that come to it, by the commands of an
// operator: sites, claims, joining, devices, revoking.
func TestCentral(t *testing.T) {
	c := startCentral(t)
	var sites []site
	if c.must(&sites, "sites"); len(sites) != 0 {
		t.Errorf("a new central has %+v", sites)
	}
	var claim struct{ Code, Address, SiteID string }
	c.must(&claim, "claim", "--site", "north", "--name", "north gate")
	if out, err := c.run("claim", "--site", "north"); err != nil || !strings.Contains(out, "cypherface join CFJ1-") {
		t.Errorf("a second claim: %v\n%s", err, out)
	}
	if c.must(&sites, "sites"); len(sites) != 1 || sites[0].Name != "north" || sites[0].SiteID != claim.SiteID || sites[0].Devices != 0 {
		t.Errorf("sites are %+v", sites)
	}

	b := newBox(t)
	l, err := b.Join(t.Context(), claim.Code, join.Ask)
	if err != nil || string(l.Site) != claim.SiteID || l.Address != claim.Address {
		t.Fatalf("joined %+v, %v", l, err)
	}
	if _, err := newBox(t).Join(t.Context(), claim.Code, join.Ask); status(err) != http.StatusForbidden {
		t.Errorf("the code again: %v", err)
	}
	h := runBox(t, b)
	await(t, "the box has everything", func() bool { return h.Status().Link.Synced })
	await(t, "the central shows it", func() bool {
		list := c.devices()
		return len(list) == 1 && list[0].Online && list[0].Status == "active" && list[0].Name == "north gate" &&
			list[0].SiteID == claim.SiteID && list[0].Behind == 0 && list[0].Events > 0
	})
	if out, err := c.run("devices"); err != nil || !strings.Contains(out, "north gate") || !strings.Contains(out, "true") {
		t.Errorf("devices: %v\n%s", err, out)
	}

	var policy struct{ StaleAfterHours int }
	c.must(&policy, "policy", "--stale-after", "72h")
	if out, err := c.run("policy"); err != nil || policy.StaleAfterHours != 72 || !strings.Contains(out, "72 hours") {
		t.Errorf("policy: %+v, %v\n%s", policy, err, out)
	}
	await(t, "the box knows the limit", func() bool { return h.Status().Link.Limit == 72*3600 })
	if out, err := c.run("policy", "--stale-after", "90s"); err == nil {
		t.Errorf("a limit of 90 s is taken: %s", out)
	}
	if out, err := c.run("devices", "revoke", string(l.ID)); err == nil {
		t.Errorf("an id that is none is revoked: %s", out)
	}
	id := string(b.Store.Info().Device)
	if out, err := c.run("devices", "revoke", id); err != nil || !strings.Contains(out, "revoked") {
		t.Errorf("revoke: %v\n%s", err, out)
	}
	await(t, "the box matches nobody", func() bool { return h.Status().Link.Revoked && !h.May() })
	if list := c.devices(); len(list) != 1 || list[0].Status != "revoked" {
		t.Errorf("devices are %+v", list)
	}
	// It may come back with another claim.
	c.must(&claim, "claim", "--site", claim.SiteID)
	if told, err := b.Leave(t.Context()); err != nil || !told {
		t.Errorf("leaving: %v, %v", told, err)
	}
	if _, err := b.Join(t.Context(), claim.Code, join.Ask); err != nil {
		t.Errorf("it comes back: %v", err)
	}
	await(t, "it is back", func() bool { s := h.Status(); return s.Link.Synced && !s.Link.Revoked })
}

// person puts somebody on a box, enrolled, with a grant for a door of it.
func person(t *testing.T, b *join.Box, name string) (p store.PersonID) {
	t.Helper()
	err := b.Store.Update(t.Context(), benchCause, func(tx *store.Tx) error {
		now := tx.Time()
		p = store.NewID[store.PersonID](now)
		d := store.Door{ID: store.NewID[store.DoorID](now), Merchant: b.Merchant, Name: name}
		return errors.Join(
			store.Put(tx, &store.Person{ID: p, Merchant: b.Merchant, Firstname: name, Email: name + "@example.org", Status: store.PersonEnrolled, EnrolledAt: now}),
			store.Put(tx, &store.Template{ID: store.NewTemplateID(p, "test"), Merchant: b.Merchant, Person: p, Space: "test", Crops: 1, Vector: make([]float32, 128)}),
			store.Put(tx, &d), store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](now), Merchant: b.Merchant, Person: p, Door: d.ID}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// onBox returns how somebody is on a box, "" where he is not.
func onBox(t *testing.T, b *join.Box, id store.PersonID) (s store.PersonStatus) {
	t.Helper()
	err := b.Store.View(t.Context(), func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		if s = p.Status; errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrErased) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// atCentral returns how somebody is at the central, "" where he is not.
func (c *running) atCentral(id store.PersonID) string {
	c.Helper()
	var list struct {
		Users []struct{ UserID, Status string } `json:"users"`
	}
	socket := filepath.Join(c.dir, "control.sock")
	k := &client{env: "sandbox", http: http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
	if err := k.call(c.Context(), "GET", "/users/", nil, &list); err != nil {
		c.Fatal(err)
	}
	for _, u := range list.Users {
		if u.UserID == string(id) {
			return u.Status
		}
	}
	return ""
}

// What becomes of people who are on a box that joins, and of all when it leaves.
func TestPeopleOfABox(t *testing.T) {
	c := startCentral(t)
	claim := func() string {
		var made struct{ Code string }
		c.must(&made, "claim", "--site", "north")
		return made.Code
	}
	b := newBox(t)
	ada := person(t, b, "ada")
	if _, err := b.Join(t.Context(), claim(), join.Ask); !errors.Is(err, join.ErrPeople) {
		t.Fatalf("nobody said what becomes of people: %v", err)
	}
	if _, err := b.AdoptHeld(t.Context(), nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a box without a central adopts: %v", err)
	}

	// Held, and adopted later.
	bea := person(t, b, "bea")
	if _, err := b.Join(t.Context(), claim(), join.Hold); err != nil {
		t.Fatal(err)
	}
	h := runBox(t, b)
	await(t, "the box has everything", func() bool { return h.Status().Link.Synced })
	for _, id := range []store.PersonID{ada, bea} {
		if onBox(t, b, id) != store.PersonSuspended || c.atCentral(id) != "" {
			t.Errorf("held: %q on the box, %q at the central", onBox(t, b, id), c.atCentral(id))
		}
	}
	if n, err := b.AdoptHeld(t.Context(), []store.PersonID{ada, "0123456789abcdef01234567"}); !errors.Is(err, join.ErrNotHeld) || n != 0 {
		t.Errorf("somebody who is not held: %d, %v", n, err)
	}
	if n, err := b.AdoptHeld(t.Context(), []store.PersonID{ada}); err != nil || n != 1 {
		t.Errorf("adopted %d, %v", n, err)
	}
	await(t, "ada is at the central", func() bool { return c.atCentral(ada) == "enrolled" })
	if onBox(t, b, ada) != store.PersonEnrolled || c.atCentral(bea) != "" {
		t.Errorf("ada is %q on the box, bea %q at the central", onBox(t, b, ada), c.atCentral(bea))
	}
	// Who took his consent back meanwhile stays as he is.
	update(t, b, func(tx *store.Tx) error {
		return store.Put(tx, &store.Consent{ID: store.NewID[store.ConsentID](tx.Time()), Merchant: b.Merchant, Person: bea, Withdrawn: tx.Time()})
	})
	if n, err := b.AdoptHeld(t.Context(), nil); err != nil || n != 1 {
		t.Errorf("adopted the rest: %d, %v", n, err)
	}
	await(t, "bea is at the central", func() bool { return c.atCentral(bea) == "suspended" })
	if n, err := b.AdoptHeld(t.Context(), nil); err != nil || n != 0 {
		t.Errorf("adopted again: %d, %v", n, err)
	}

	// A second box has all, and leaving keeps all.
	second := newBox(t)
	cora := person(t, second, "cora")
	if _, err := second.Join(t.Context(), claim(), join.Adopt); err != nil {
		t.Fatal(err)
	}
	h2 := runBox(t, second)
	await(t, "all are everywhere", func() bool {
		return h2.Status().Link.Synced && onBox(t, second, ada) != "" && onBox(t, b, cora) != "" && c.atCentral(cora) == "enrolled"
	})
	if told, err := second.Leave(t.Context()); err != nil || !told {
		t.Errorf("leaving: %v, %v", told, err)
	}
	await(t, "it stands alone", func() bool { return !h2.Status().Joined && h2.May() })
	for _, id := range []store.PersonID{ada, bea, cora} {
		if onBox(t, second, id) == "" {
			t.Error("who was on the box went with the central")
		}
	}
	if list := c.devices(); len(list) != 2 || list[0].Status == list[1].Status {
		t.Errorf("after one left: %+v", list)
	}
	if _, err := second.Leave(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("leaving twice: %v", err)
	}

	// A third erases who is on it. The second, which comes back, has nobody of its own
	// but those from the central, and adopting them again changes nobody.
	third := newBox(t)
	dora := person(t, third, "dora")
	if _, err := third.Join(t.Context(), claim(), join.Erase); err != nil {
		t.Fatal(err)
	}
	h3 := runBox(t, third)
	await(t, "the third has the others", func() bool { return h3.Status().Link.Synced && onBox(t, third, cora) != "" })
	if onBox(t, third, dora) != "" || c.atCentral(dora) != "" {
		t.Error("who was to be erased is there")
	}
	if _, err := second.Join(t.Context(), claim(), join.Adopt); err != nil {
		t.Fatal(err)
	}
	await(t, "the second is back", func() bool {
		s := h2.Status().Link
		return s.Synced && s.Acked == s.Head && onBox(t, second, ada) == store.PersonEnrolled && onBox(t, second, cora) == store.PersonEnrolled
	})
}

func update(t *testing.T, b *join.Box, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := b.Store.Update(t.Context(), benchCause, fn); err != nil {
		t.Fatal(err)
	}
}

// A fleet key is good at the boxes of its site, for what it may, until it is revoked,
// and nowhere else.
func TestFleetKeys(t *testing.T) {
	c := startCentral(t)
	var boxes []*join.Box
	var hosts []*host.Box
	for _, site := range []string{"north", "north", "south"} {
		var made struct{ Code string }
		c.must(&made, "claim", "--site", site)
		b := newBox(t)
		if _, err := b.Join(t.Context(), made.Code, join.Ask); err != nil {
			t.Fatal(err)
		}
		boxes, hosts = append(boxes, b), append(hosts, runBox(t, b))
	}
	var made struct{ APIKey, KeyID, SiteID string }
	c.must(&made, "keys", "create", "--fleet", "--site", "north", "--name", "kiosk", "--scopes", "match,detect")
	var authorities []*auth.Authority
	for _, b := range boxes {
		a, err := auth.Open(t.Context(), b.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, a)
	}
	good := func(i int) (auth.Principal, bool) {
		t.Helper()
		p, err := authorities[i].Authenticate(t.Context(), []string{"Bearer " + made.APIKey})
		if err != nil && !errors.Is(err, auth.ErrUnauthorized) {
			t.Fatal(err)
		}
		return p, err == nil
	}
	for i := range 2 {
		await(t, "a box of the site takes the key", func() bool { _, ok := good(i); return ok })
		p, _ := good(i)
		if p.Merchant != boxes[i].Merchant || !p.Can(auth.Match) || !p.Can(auth.Detect) || p.Can(auth.UsersRead) {
			t.Errorf("it is %+v", p)
		}
	}
	await(t, "the third box has everything", func() bool { return hosts[2].Status().Link.Synced })
	if _, ok := good(2); ok {
		t.Error("a box of another site takes it")
	}
	if status := c.asKey(made.APIKey); status != http.StatusUnauthorized {
		t.Errorf("the central answers it %d", status)
	}
	err := boxes[0].Store.Update(t.Context(), benchCause, func(tx *store.Tx) error {
		return authorities[0].RevokeKey(tx, boxes[0].Merchant, store.KeyID(made.KeyID))
	})
	if !errors.Is(err, auth.ErrFleetKey) {
		t.Errorf("a box revokes it: %v", err)
	}
	var list []key
	if c.must(&list, "keys"); len(list) < 2 || list[len(list)-1].SiteID != made.SiteID || list[len(list)-1].Status != "active" {
		t.Errorf("keys are %+v", list)
	}

	// While the data of a box is too old, it may have been revoked.
	stale := func(yes bool) {
		update(t, boxes[0], func(tx *store.Tx) error {
			l, err := store.Get[store.Link](tx, store.TheLink)
			l.Stale = yes
			return errors.Join(err, store.Put(tx, &l))
		})
	}
	stale(true)
	if _, ok := good(0); ok {
		t.Error("a box whose data is too old takes it")
	}
	stale(false)

	// A box that leaves takes it no more; a revoked key ends everywhere.
	if _, err := boxes[1].Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if _, ok := good(1); ok {
		t.Error("a box that left takes it")
	}
	if out, err := c.run("keys", "revoke", made.KeyID); err != nil || !strings.Contains(out, "revoked") {
		t.Errorf("revoke: %v\n%s", err, out)
	}
	await(t, "the box takes it no more", func() bool { _, ok := good(0); return !ok })

	// One of the central is none of a box.
	var own struct{ APIKey, SiteID string }
	c.must(&own, "keys", "create", "--name", "own")
	if status := c.asKey(own.APIKey); status != http.StatusOK || own.SiteID != "" {
		t.Errorf("the central answers its own key %d", status)
	}
	for _, args := range [][]string{{"keys", "create", "--fleet"}, {"keys", "create", "--site", "north"}, {"keys", "create", "--fleet", "--site", "nowhere"}, {"keys", "revoke"}, {"keys", "revoke", "x"}} {
		if out, err := c.run(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}

// asKey lists people at the central's network address with a key.
func (c *running) asKey(apiKey string) int {
	c.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, "bootstrap.json"))
	var boot struct{ URL string }
	if err == nil {
		err = json.Unmarshal(raw, &boot)
	}
	if err != nil {
		c.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.Context(), "GET", boot.URL+"/api/users/", nil)
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	k := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // on loopback
	resp, err := k.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Codes that are not good are refused alike, and who tries many is told to wait.
func TestWrongCodes(t *testing.T) {
	c := startCentral(t)
	var claim struct{ Code, Address string }
	c.must(&claim, "claim", "--site", "north", "--life", "1m")
	good, err := join.ParseCode(claim.Code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newBox(t).Join(t.Context(), claim.Code[:len(claim.Code)-2], join.Ask); !errors.Is(err, join.ErrCode) {
		t.Errorf("a code that is cut: %v", err)
	}
	another := join.NewCode(make([]byte, 32), claim.Address)
	another.Secret = good.Secret
	if _, err := newBox(t).Join(t.Context(), another.Text(), join.Ask); !errors.Is(err, join.ErrPin) {
		t.Errorf("a code of another central: %v", err)
	}
	for _, args := range [][]string{{"claim"}, {"claim", "--site", "x", "--life", "1s"}, {"sites", "x"}, {"devices", "revoke"}, {"devices", "--what"}} {
		if out, err := c.run(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	limited := false
	for range 40 { // wrong ones: at once some are refused for good, then all for a while
		wrong := join.NewCode(nil, claim.Address)
		wrong.Pin = good.Pin
		_, err := newBox(t).Join(t.Context(), wrong.Text(), join.Ask)
		if limited = status(err) == http.StatusTooManyRequests; limited {
			break
		}
		if status(err) != http.StatusForbidden {
			t.Fatalf("a wrong code: %v", err)
		}
	}
	if !limited {
		t.Error("wrong codes are not limited")
	}
	if _, err := newBox(t).Join(t.Context(), claim.Code, join.Ask); err != nil {
		t.Errorf("a good code from the same address: %v", err)
	}
}

func TestHelp(t *testing.T) {
	for name := range commands {
		var out bytes.Buffer
		if known, err := runCommand(t.Context(), []string{name, "--help"}, &out); !known || err != nil || !strings.Contains(out.String(), "usage: cypherface-central "+name) || !strings.Contains(out.String(), "-data") {
			t.Errorf("%s --help: %v\n%s", name, err, out.String())
		}
	}
	var out bytes.Buffer
	if known, err := runCommand(t.Context(), []string{"bench", "--help"}, &out); !known || err != nil || !strings.Contains(out.String(), "-boxes") {
		t.Errorf("bench --help: %v\n%s", err, out.String())
	}
	for _, args := range [][]string{nil, {"--data", "x"}, {"fly"}} {
		if known, err := runCommand(t.Context(), args, io.Discard); known || err != nil {
			t.Errorf("%v is a command: %v", args, err)
		}
	}
	if _, err := runCommand(t.Context(), []string{"sites", "--data", t.TempDir()}, io.Discard); err == nil || !strings.Contains(err.Error(), "none is running") {
		t.Errorf("without a central: %v", err)
	}
	help, err := exec.Command(os.Args[0], childWord, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "cypherface-central claim --site") {
		t.Errorf("--help: %v\n%s", err, help)
	}
	help, err = exec.Command(os.Args[0], childWord, "fly").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(help), "fly") {
		t.Errorf("an unknown command: %v\n%s", err, help)
	}
}

// A small run of the whole measurement: each figure is there.
func TestBench(t *testing.T) {
	var out bytes.Buffer
	known, err := runCommand(t.Context(), []string{"bench", "--json", "--boxes", "1,3", "--events", "600", "--people", "300", "--storm", "5", "--rounds", "2", "--deletions", "5000"}, &out)
	var r benchResult
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &r)
	}
	if !known || err != nil || len(r.Ingest) != 2 || r.Ingest[1].Boxes != 3 || r.Ingest[0].Rate <= 0 || r.Ingest[0].Bare <= 0 || r.Catchup.People != 300 || r.Catchup.Ratio <= 0 || r.Storm.Boxes != 5 || r.Deleted.Deletions != 5000 || r.Deleted.Bytes < 5000*24 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if _, err := runCommand(t.Context(), []string{"bench", "--boxes", "none"}, io.Discard); err == nil {
		t.Error("a number of boxes that is none is taken")
	}
}
