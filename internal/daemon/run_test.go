package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
)

// The whole daemon in this process, on port 0 and a temporary folder, with the
// real networks and rendered faces.

const packs = "../../.deps/packs"

// daemonRun is a daemon that runs.
type daemonRun struct {
	t    *testing.T
	http http.Client
	dir  string
	url  string
	boot bootstrapFile
	stop context.CancelFunc
	done chan error
	out  *syncBuffer
	log  *syncBuffer
}

// syncBuffer takes what the daemon writes while the test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func needNetworks(t *testing.T) {
	t.Helper()
	if _, err := tflite.Load(nil, tflite.Options{}); errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip("built without TensorFlow Lite")
	}
	if _, err := os.Stat(packs); err != nil {
		t.Fatalf("no packs: %v (make setup installs them)", err)
	}
}

// shortDir is a temporary folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "box")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

// start runs a daemon until it is ready.
func start(t *testing.T, dir string, args ...string) *daemonRun {
	t.Helper()
	needNetworks(t)
	ctx, stop := context.WithCancel(t.Context())
	d := &daemonRun{t: t, dir: dir, stop: stop, done: make(chan error, 1), out: &syncBuffer{}, log: &syncBuffer{}}
	args = append([]string{"--data", dir, "--listen", "127.0.0.1:0", "--production-listen", "127.0.0.1:0", "--packs", packs, "--rate-key", "0", "--rate-address", "0"}, args...)
	go func() { d.done <- run(ctx, Box, args, func(string) string { return "" }, d.out, d.log) }()
	t.Cleanup(func() { d.end() })
	ready := regexp.MustCompile(`msg=ready url=(\S+)`)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := ready.FindStringSubmatch(d.log.String()); m != nil {
			d.url = m[1]
			break
		}
		select {
		case err := <-d.done:
			d.done <- err
			t.Fatalf("the daemon ended: %v\n%s", err, d.log)
		default:
		}
	}
	if d.url == "" {
		t.Fatalf("not ready:\n%s", d.log)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, bootstrapName)); err == nil {
		if err := json.Unmarshal(raw, &d.boot); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// end stops the daemon and returns how it ended; again it returns nil.
func (d *daemonRun) end() error {
	d.stop()
	err, ok := <-d.done
	if ok {
		close(d.done)
	}
	return err
}

// call sends a request; a body is JSON text or the path of an image.
func (d *daemonRun) call(method, url, body string, status int) map[string]any {
	d.t.Helper()
	var r io.Reader = strings.NewReader(body)
	contentType := "application/json"
	if strings.HasSuffix(body, ".png") {
		raw, err := os.ReadFile(body)
		if err != nil {
			d.t.Fatal(err)
		}
		r, contentType = bytes.NewReader(raw), "image/png"
		if method == "POST" {
			var b bytes.Buffer
			w := multipart.NewWriter(&b)
			part, _ := w.CreateFormFile("image", "x.png") // into memory
			_, _ = part.Write(raw)
			_ = w.Close()
			r, contentType = &b, w.FormDataContentType()
		}
	}
	if strings.HasPrefix(url, "/") {
		url = d.url + url
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if !strings.Contains(url, "/upload/") || method != "PUT" {
		req.Header.Set("Authorization", "Bearer "+d.boot.APIKey)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || resp.StatusCode != status {
		d.t.Fatalf("%s %s: status %d, want %d: %v %v", method, url, resp.StatusCode, status, m, err)
	}
	return m
}

const (
	mate, other, stranger = "../../models/golden/a1.png", "../../models/golden/a2.png", "../../models/golden/b1.png"
)

// enrol registers a person and uploads the face.
func (d *daemonRun) enrol(name, image string) string {
	d.t.Helper()
	user := d.call("POST", "/register/", fmt.Sprintf(`{"firstname":%q,"lastname":"Test","email":"%s@example.org"}`, name, name), 201)
	id := user["userId"].(string)
	d.upload(id, "upload", image)
	return id
}

func (d *daemonRun) upload(id, kind, image string) {
	d.t.Helper()
	link := d.call("POST", "/api/upload/generate-url/", fmt.Sprintf(`{"userId":%q,"imageName":"a.png","contentType":"image/png","type":%q}`, id, kind), 200)
	d.call("PUT", link["url"].(string), image, 200)
}

func TestFromTheFirstStartToTheSecond(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	if st, err := os.Stat(filepath.Join(dir, bootstrapName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("bootstrap.json: %v, %v", st, err)
	}
	if d.boot.URL != d.url || !strings.Contains(d.out.String(), d.boot.APIKey) {
		t.Errorf("bootstrap %+v, printed:\n%s", d.boot, d.out)
	}
	id := d.enrol("ada", mate)
	d.upload(id, "match", other)
	if m := d.call("POST", "/api/face/match/", fmt.Sprintf(`{"userId":%q}`, id), 200); m["match"] != true {
		t.Errorf("match: %v", m)
	}
	d.upload(id, "match", stranger)
	if m := d.call("POST", "/api/face/match/", fmt.Sprintf(`{"userId":%q}`, id), 200); m["match"] != false {
		t.Errorf("mismatch: %v", m)
	}
	if m := d.call("POST", "/api/face/detect/", mate, 200); m["faceCount"] != 1.0 {
		t.Errorf("detect: %v", m)
	}
	d.call("POST", "/identify", `{"source":"camera"}`, 422)
	if err := d.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
	for _, line := range strings.Split(d.log.String(), "\n") {
		if strings.Contains(line, d.boot.APIKey) || strings.Contains(line, "example.org") || strings.Contains(line, id) {
			t.Errorf("the log tells too much: %s", line)
		}
	}

	again := start(t, dir, "--camera", "none:")
	if strings.Contains(again.out.String(), again.boot.APIKey) {
		t.Error("the key was printed again")
	}
	if again.boot.URL != again.url || again.boot.APIKey != d.boot.APIKey {
		t.Errorf("bootstrap %+v of a box at %s", again.boot, again.url)
	}
	if m := again.call("POST", "/identify", other, 200); m["userId"] != id {
		t.Errorf("after the restart: %v", m)
	}
	if m := again.call("POST", "/identify", stranger, 200); m["match"] != false {
		t.Errorf("a stranger: %v", m)
	}
}

func TestTheCameraSeesPeople(t *testing.T) {
	needNetworks(t)
	pictures := t.TempDir()
	raw, err := os.ReadFile(mate)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, "a.png"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, shortDir(t), "--camera", "dir:"+pictures+"?fps=5")
	id := d.enrol("ada", other)
	begin := time.Now()
	if e := d.decision(); e["userId"] != id || e["outcome"] == "no_match" {
		t.Errorf("decided %v", e)
	}
	t.Logf("decided after %v", time.Since(begin))
	if m := d.call("POST", "/identify", `{"source":"camera"}`, 200); m["userId"] != id {
		t.Errorf("got %v", m)
	}
	if body := d.get("/metrics"); !regexp.MustCompile(`(?m)^cypherface_camera_frames_total\{door="",environment="sandbox"\} [1-9]`).MatchString(body) {
		t.Errorf("no frames are counted:\n%s", body)
	}
}

// decision listens to the events until the box has decided about somebody whom
// it knows.
func (d *daemonRun) decision() map[string]any {
	d.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + d.boot.APIKey}}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(d.url, "http")+"/api/events", header)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // a test must end
	for {
		var e map[string]any
		if err := conn.ReadJSON(&e); err != nil {
			d.t.Fatal(err)
		}
		if e["type"] == "decision" && e["userId"] != nil {
			return e
		}
	}
}

func (d *daemonRun) get(path string) string {
	d.t.Helper()
	resp, err := d.http.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		d.t.Fatalf("GET %s: status %d, %v", path, resp.StatusCode, err)
	}
	return string(raw)
}

// A camera that is not there is a state of the box, which works on.
func TestABrokenCameraDoesNotStopTheBox(t *testing.T) {
	d := start(t, shortDir(t), "--camera", "v4l2:/dev/video99")
	if page := d.get("/"); !strings.Contains(page, "fault") {
		t.Errorf("the page does not say so:\n%s", page)
	}
	d.call("GET", "/readyz", "", 200)
	d.call("POST", "/identify", mate, 200)
	d.call("POST", "/identify", `{"source":"camera"}`, 422)
}

func TestASecondBoxOnTheSameData(t *testing.T) {
	dir := shortDir(t)
	start(t, dir, "--camera", "none:")
	err := run(t.Context(), Box, []string{"--data", dir, "--listen", "127.0.0.1:0", "--packs", packs}, os.Getenv, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v", err)
	}
}

func TestStartsThatCannotWork(t *testing.T) {
	needNetworks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	notASocket := shortDir(t)
	if err := os.MkdirAll(filepath.Join(notASocket, socketName), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"port taken", []string{"--listen", l.Addr().String()}, "another program has this port"},
		{"no pack", []string{"--packs", t.TempDir()}, "cypherface models"},
		{"no such camera", []string{"--camera", "gopher:"}, "gopher"},
		{"bad demo", []string{"--camera", "demo:?people=3"}, "people"},
		{"not a socket", []string{"--data", notASocket}, "not a socket"},
		{"long path", []string{"--data", filepath.Join(shortDir(t), strings.Repeat("a", 100))}, "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"--data", shortDir(t), "--listen", "127.0.0.1:0", "--packs", packs, "--camera", "none:"}, tt.args...)
			err := run(t.Context(), Box, args, os.Getenv, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
}

// The pack against presentation attacks votes from the start on, beside the one in use;
// a box whose own is damaged says so and does without.
func TestThePackAgainstAttacks(t *testing.T) {
	needNetworks(t)
	const sources = "../../../shared/models/sources"
	if _, err := os.Stat(sources + "/minifasnet_ncnn_1.bin"); err != nil {
		t.Skip("the weights against presentation attacks are not at ../shared/models/sources")
	}
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "basic"), os.DirFS(filepath.Join(packs, "basic"))); err != nil {
		t.Fatal(err)
	}
	status := func() map[string]any {
		d := start(t, shortDir(t), "--packs", root, "--camera", "none:")
		defer d.end()
		landing := d.get("/")
		ready := d.get("/readyz")
		return map[string]any{"landing": strings.Contains(landing, "pad votes on liveness"), "fault": strings.Contains(landing, "models verify"), "ready": strings.Contains(ready, "pack pad"), "log": strings.Contains(d.log.String(), "does not vote on liveness")}
	}
	want := func(name string, landing, fault bool) {
		t.Helper()
		if s := status(); s["landing"] != landing || s["fault"] != fault || s["ready"] != fault || s["log"] != fault {
			t.Errorf("%s: %v", name, s)
		}
	}
	want("none", false, false)
	p, err := models.Installer{Root: root}.Build(t.Context(), models.PAD, models.Folders(sources))
	if err != nil {
		t.Fatal(err)
	}
	want("installed", true, false)
	if err := os.WriteFile(filepath.Join(p.Dir, p.Networks[models.PADWide].File), make([]byte, p.Networks[models.PADWide].Size), 0o644); err != nil {
		t.Fatal(err)
	}
	want("damaged", false, true)
}

func TestHelpIsNoError(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), Box, []string{"--help"}, os.Getenv, &out, io.Discard); err != nil || out.Len() == 0 {
		t.Errorf("%v, %s", err, &out)
	}
}

func TestTheControlSocketIsForTheOwner(t *testing.T) {
	d := start(t, shortDir(t), "--camera", "none:")
	path := filepath.Join(d.dir, socketName)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://box/control/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct {
		Ready bool
		Pack  string
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || !s.Ready || s.Pack == "" {
		t.Errorf("%+v, %v", s, err)
	}
}

// systemd is told when the box is ready, that it lives, and when it stops.
func TestSystemdIsTold(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(filepath.Dir(dir), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	d := start(t, dir, "--camera", "none:")
	next := func() string {
		t.Helper()
		_ = l.SetReadDeadline(time.Now().Add(time.Minute)) // a test must end
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if s := next(); s != "READY=1" {
		t.Errorf("first %q", s)
	}
	if s := next(); s != "WATCHDOG=1" {
		t.Errorf("then %q", s)
	}
	go d.end()
	for s := next(); s != "STOPPING=1"; s = next() {
		if s != "WATCHDOG=1" {
			t.Fatalf("at last %q", s)
		}
	}
}
