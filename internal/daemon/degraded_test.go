package daemon

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// fetch fetches a path with its status.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// checkStore has the daemon check a store, and waits for it.
func (d *daemonRun) checkStore(env, query string) (job api.StorageJob) {
	d.t.Helper()
	d.control("POST", env, "/control/store/check"+query, 202, &job)
	for deadline := time.Now().Add(time.Minute); !job.Ended; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("the check does not end: %+v", job)
		}
		d.control("GET", env, "/control/store", 200, &job)
	}
	return job
}

// awaitLog waits for a line of the log.
func (d *daemonRun) awaitLog(pattern string) []string {
	d.t.Helper()
	line := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := line.FindStringSubmatch(d.log.String()); m != nil {
			return m
		}
	}
	d.t.Fatalf("no %s in the log:\n%s", pattern, d.log)
	return nil
}

// TestDegraded: with a damaged store the box stays up, says why, lets it be checked,
// decides nothing, and goes on by itself when a copy is put back. The other
// environment works all the while.
func TestDegraded(t *testing.T) {
	dir := shortDir(t)
	args := []string{"--camera", "none:", "--production-camera", "none:"}
	d := start(t, dir, args...)
	d.production()
	id := d.enrol("ada", mate)
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	path := bolt.Path(dir, store.Sandbox)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 5*4096); err != nil {
		t.Fatal(err)
	}
	d = start(t, dir, args...) // production is ready
	url := d.awaitLog(`msg="the environment stands by" url=(\S+)`)[1]
	for path, want := range map[string]int{"/healthz": 200, "/": 200, "/metrics": 200, "/readyz": 503, "/users/": 503, "/api/face/match/": 503, "/x": 503} {
		status, body := fetch(t, url+path)
		if status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
		switch path {
		case "/readyz", "/":
			if !strings.Contains(body, "cypherface store check") || !strings.Contains(body, "cypherface store restore") || strings.Contains(body, "panic") || strings.Contains(body, dir) {
				t.Errorf("%s: %s", path, body)
			}
		case "/metrics":
			if !strings.Contains(body, `cypherface_store_damaged{environment="sandbox"} 1`) {
				t.Errorf("%s", body)
			}
		}
	}
	var list struct{ Environments []api.Environment }
	d.control("GET", "box", "/control/environments", 200, &list)
	if s, p := list.Environments[0], list.Environments[1]; !s.Enabled || s.Ready || s.Reason == "" || !p.Ready {
		t.Errorf("%+v", list)
	}
	if job := d.checkStore("sandbox", ""); job.Error != "" || job.Report.Whole() || !strings.Contains(job.Report.Store.Faults[0].What, "ends at") {
		t.Errorf("%+v", job)
	}
	if job := d.checkStore("production", ""); job.Error != "" || !job.Report.Whole() || job.Report.Store.Checked.Records == 0 {
		t.Errorf("%+v", job)
	}
	var refused map[string]any
	d.control("POST", "sandbox", "/control/store/compact", 503, &refused)
	d.control("GET", "sandbox", "/users/", 503, &refused)

	draft := filepath.Join(dir, "sandbox", "good")
	if err := os.WriteFile(draft, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(draft, path); err != nil {
		t.Fatal(err)
	}
	d.url = d.awaitLog(`msg=ready url=(\S+) environment=sandbox`)[1]
	d.call("GET", "/users/"+id, "", 200)
	if status, _ := fetch(t, d.url+"/readyz"); status != 200 {
		t.Errorf("status %d", status)
	}
}

// TestDamageWhileRunning: who meets damage is told, and the box says so.
func TestDamageWhileRunning(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	id := d.enrol("ada", mate)
	spoilValue(t, bolt.Path(dir, store.Sandbox), "record.person")
	d.call("GET", "/users/"+id, "", 500)
	if _, body := fetch(t, d.url+"/readyz"); !strings.Contains(body, "damaged") || !strings.Contains(body, "store check") {
		t.Errorf("%s", body)
	}
	if _, body := fetch(t, d.url+"/metrics"); !strings.Contains(body, `cypherface_store_damaged{environment="sandbox"} 1`) {
		t.Errorf("%s", body)
	}
	job := d.checkStore("sandbox", "?repair=true")
	if job.Report.Whole() || job.Report.Mended != 0 || job.Report.Store.Faults[0].Remedy != store.RemedyRestore {
		t.Errorf("%+v", job)
	}
}

// TestDamagedPersonIsLeftOut: one damaged template is no reason not to recognise the
// others.
func TestDamagedPersonIsLeftOut(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	first, second := d.enrol("ada", mate), d.enrol("eve", stranger)
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	spoilValue(t, bolt.Path(dir, store.Sandbox), "record.template")
	d = start(t, dir, "--camera", "none:")
	known := 0
	for id, face := range map[string]string{first: mate, second: stranger} {
		if m := d.call("POST", "/identify", face, 200); m["userId"] == id {
			known++
		}
	}
	if known != 1 {
		t.Errorf("%d of two are known", known)
	}
	if _, body := fetch(t, d.url+"/readyz"); !strings.Contains(body, "damaged") {
		t.Errorf("%s", body)
	}
}

// TestStandsByOverItsRecords: a store that opens, and of which too much cannot be
// read, is no reason to start over and over.
func TestStandsByOverItsRecords(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	d.enrol("ada", mate)
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	spoilValue(t, bolt.Path(dir, store.Sandbox), "record.merchant")
	ctx, stop := context.WithCancel(t.Context())
	out := &syncBuffer{}
	d = &daemonRun{t: t, dir: dir, stop: stop, done: make(chan error, 1), out: out, log: &syncBuffer{}}
	go func() {
		d.done <- run(ctx, Box, []string{"--data", dir, "--listen", "127.0.0.1:0", "--packs", packs, "--camera", "none:"}, func(string) string { return "" }, d.out, d.log)
	}()
	t.Cleanup(func() { d.end() })
	d.url = d.awaitLog(`msg="the environment stands by" url=(\S+)`)[1]
	if status, body := fetch(t, d.url+"/readyz"); status != 503 || !strings.Contains(body, "store check") {
		t.Errorf("%d: %s", status, body)
	}
	if err := d.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// spoilValue changes a byte of the first value of a bucket where it lies in the
// file, which a box may have open.
func spoilValue(t *testing.T, path, bucket string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		_, v := tx.Bucket([]byte(bucket)).Cursor().First()
		spoiled := bytes.Clone(v)
		spoiled[len(v)/2] ^= 1
		for at := 0; ; at++ { // freed pages may have it too
			i := bytes.Index(raw[at:], v)
			if i < 0 {
				return nil
			}
			at += i
			if _, err := f.WriteAt(spoiled, int64(at)); err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
