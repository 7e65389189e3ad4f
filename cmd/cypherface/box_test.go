package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// newBox makes the data of a box with one merchant, and no daemon.
func newBox(t *testing.T) (data string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "box") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "Test", Status: store.Active}
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}
	if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &m) }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A box without a daemon: the commands open its data themselves.
func TestEnrolIdentifyUsers(t *testing.T) {
	data, dir := newBox(t), faceFiles(t)
	box := func(code int, args ...string) (out string) {
		t.Helper()
		args = append(args, "--data", data)
		if args[0] != "users" {
			args = append(args, "--packs", testPacks)
		}
		out, errs, got := cli(t, nil, args...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	ada := []string{"enrol", "--name", "Ada Augusta Lovelace", "--email", "ada@example.org"}

	var e enrolment
	if err := json.Unmarshal([]byte(box(0, append(ada, "--json", file("a1.png"), file("a2.png"))...)), &e); err != nil || e.Images != 2 {
		t.Fatalf("%+v, %v", e, err)
	}
	if out := box(2, append(ada, file("a1.png"))...); !strings.Contains(out, "email is taken") {
		t.Errorf("a second time: %s", out)
	}
	if out := box(0, "identify", file("a2.png")); !strings.Contains(out, "Ada Augusta Lovelace") || !strings.Contains(out, e.UserID) {
		t.Errorf("identify: %s", out)
	}
	if out := box(1, "identify", file("b.png")); !strings.Contains(out, "nobody of 1") {
		t.Errorf("a stranger: %s", out)
	}
	if out := box(2, "identify", file("text.jpg")); !strings.Contains(out, "neither JPEG nor PNG") {
		t.Errorf("no picture: %s", out)
	}

	// An enrolment that fails leaves nobody behind.
	if out := box(2, "enrol", "--name", "Bea Byron", "--email", "bea@example.org", file("grey.png")); !strings.Contains(out, "no face") {
		t.Errorf("no face: %s", out)
	}
	if out := box(0, "users", "list"); strings.Contains(out, "Bea") || !strings.Contains(out, "Ada Augusta Lovelace") || !strings.Contains(out, "enrolled") {
		t.Errorf("list: %s", out)
	}
	box(0, "enrol", "--user", e.UserID, "--add", file("a1.png"))
	var people []person
	if err := json.Unmarshal([]byte(box(0, "users", "show", "--json", e.UserID)), &people); err != nil || len(people) != 1 || people[0].Firstname != "Ada Augusta" {
		t.Errorf("show: %+v, %v", people, err)
	}
	if out := box(0, "users", "list", "--search", "nobody", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("search: %s", out)
	}
	box(0, "users", "delete", e.UserID)
	box(2, "users", "show", e.UserID)
	box(1, "identify", file("a1.png"))
}

func TestBoxCommandsRefuse(t *testing.T) {
	data := newBox(t)
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing to enrol", []string{"enrol", "--name", "A B"}, "usage"},
		{"a name and a user", []string{"enrol", "--name", "A B", "--user", "x", "a.jpg"}, "usage"},
		{"image and camera", []string{"enrol", "--name", "A B", "--camera", "a.jpg"}, "usage"},
		{"no such image", []string{"enrol", "--name", "A B", "gone.jpg"}, "no such file"},
		{"one name", []string{"enrol", "--name", "Ada", "--email", "a@b.c", "client.go"}, "lastname is required"},
		{"no camera", []string{"identify", "--camera"}, "no camera"},
		{"two images", []string{"identify", "a.jpg", "b.jpg"}, "usage"},
		{"no verb", []string{"users"}, "usage"},
		{"another verb", []string{"users", "rename", "x"}, "usage"},
		{"show nobody", []string{"users", "show"}, "usage"},
		{"bad id", []string{"users", "show", "x"}, "24 lower-case hex digits"},
		{"bad status", []string{"users", "list", "--status", "dead"}, "status must be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := cli(t, map[string]string{"CYPHERFACE_DATA": data, "CYPHERFACE_PACKS": testPacks}, tt.args...)
			if code != 2 || !strings.Contains(errs, tt.says) {
				t.Errorf("code %d, says %s%s", code, out, errs)
			}
		})
	}
	if _, errs, code := cli(t, nil, "users", "list", "--data", filepath.Join(data, "none")); code != 2 || !strings.Contains(errs, "cypherfaced --data") {
		t.Errorf("no box: code %d, %s", code, errs)
	}
}

// standIn stands in for cypherfaced on the control socket.
func standIn(t *testing.T, data string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(data, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { srv.Close() })
}

func TestCommandsAskTheDaemonThatRuns(t *testing.T) {
	data := newBox(t)
	var asked []string
	standIn(t, data, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		switch r.URL.Path {
		case "/identify/":
			_, _ = w.Write([]byte(`{"success":true,"match":true,"userId":"5f0c0ffee0c0ffee0c0ffee0","similarity":91.5,"threshold":80,"gallery":3}`))
		case "/users/5f0c0ffee0c0ffee0c0ffee0":
			_, _ = w.Write([]byte(`{"success":true,"user":{"firstname":"Ada","lastname":"Lovelace"}}`))
		default:
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"success":false,"message":"taken","details":[{"field":"email","issue":"is taken"}]}`))
		}
	})
	out, errs, code := cli(t, nil, "identify", "--camera", "--data", data)
	if code != 0 || !strings.HasPrefix(out, "Ada Lovelace  5f0c0ffee0c0ffee0c0ffee0  similarity 91.5") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	_, errs, code = cli(t, nil, "enrol", "--name", "Ada Lovelace", "--camera", "--data", data)
	if code != 2 || !strings.Contains(errs, "taken (email is taken)") {
		t.Errorf("code %d: %s", code, errs)
	}
	if got := strings.Join(asked, ", "); got != "POST /identify/, GET /users/5f0c0ffee0c0ffee0c0ffee0, POST /register/" {
		t.Errorf("asked %s", got)
	}
}

func TestTheCameraIsWaitedFor(t *testing.T) {
	data := newBox(t)
	calls := 0
	standIn(t, data, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"success":false,"message":"there is no face in the image","details":[{"field":"image","issue":"no_face"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"success":true,"match":false,"gallery":3}`))
	})
	out, errs, code := cli(t, nil, "identify", "--camera", "--data", data)
	if code != 1 || calls != 3 || !strings.Contains(out, "nobody of 3") || strings.Count(errs, "waiting") != 1 {
		t.Errorf("code %d after %d calls: %s%s", code, calls, out, errs)
	}
}

func TestDoctor(t *testing.T) {
	data := newBox(t)
	doctor := func(code int, args ...string) map[string]finding {
		t.Helper()
		out, errs, got := cli(t, nil, append([]string{"doctor", "--json", "--data", data, "--packs", testPacks}, args...)...)
		var all []finding
		if err := json.Unmarshal([]byte(out), &all); err != nil || got != code {
			t.Fatalf("code %d, want %d: %v\n%s%s", got, code, err, out, errs)
		}
		found := map[string]finding{}
		for _, f := range all {
			if found[f.What] = f; (f.State == broken) && f.Mend == "" {
				t.Errorf("%s is broken, and nothing says how to mend it", f.What)
			}
		}
		return found
	}
	found := doctor(0)
	if found["pack"].State != fine || found["data"].State != fine || found["box"].State != note {
		t.Errorf("a healthy box: %+v", found)
	}
	if found := doctor(1, "--packs", t.TempDir()); !strings.Contains(found["pack"].Mend, "models pull") {
		t.Errorf("no pack: %+v", found["pack"])
	}
	root := t.TempDir()
	damage(t, filepath.Join(copyPack(t, root, "basic", "basic"), "embed.tflite"))
	if found := doctor(1, "--packs", root); found["pack"].State != broken {
		t.Errorf("a damaged pack: %+v", found["pack"])
	}
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if found := doctor(1); !strings.Contains(found["data"].Mend, "chmod 700") {
		t.Errorf("an open folder: %+v", found["data"])
	}
}

func TestDoctorAsksTheBox(t *testing.T) {
	data := newBox(t)
	reply := `{"success":true,"ready":true,"pack":"standard","people":3,"camera":"live"}`
	standIn(t, data, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(reply)) })
	for _, tt := range []struct {
		reply string
		want  state
		says  string
	}{
		{reply, fine, "3 people"},
		{`{"ready":false,"reason":"starting"}`, note, "starting"},
		{`{"ready":true,"camera":"fault","fault":"plug it in"}`, broken, "fault"},
		{`not JSON`, broken, "answer"},
	} {
		reply = tt.reply
		if f := (checkup{data: data}).daemon(); f.State != tt.want || !strings.Contains(f.Found, tt.says) {
			t.Errorf("%s: %+v", tt.reply, f)
		}
	}
}

func TestDoctorLooksAtTheRest(t *testing.T) {
	c := checkup{data: filepath.Join(t.TempDir(), "not", "there"), devices: filepath.Join(t.TempDir(), "video*"), now: time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)}
	for _, tt := range []struct {
		got  finding
		want state
	}{
		{c.clock(), broken}, {c.camera(), note}, {c.folder(), note}, {c.rest(store.Sandbox), note},
	} {
		if tt.got.State != tt.want {
			t.Errorf("%+v, want %s", tt.got, tt.want)
		}
	}
	if f := c.space(); f.Found == "" || strings.Contains(f.Found, "no such file") {
		t.Errorf("space of a folder to be: %+v", f)
	}
	device := filepath.Join(t.TempDir(), "video0")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := (checkup{devices: device}).camera(); f.State != fine {
		t.Errorf("camera: %+v", f)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(device), "file"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f := (checkup{data: device}).folder(); f.State != broken {
		t.Errorf("a file for a folder: %+v", f)
	}
}
