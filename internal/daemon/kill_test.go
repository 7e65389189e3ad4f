package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var killsFlag = flag.Int("cypherfaced.kills", 4, "how often the daemon is killed under load")

// daemonEnv has a process of this test be the daemon of a folder.
const daemonEnv = "CYPHERFACED_TEST_DAEMON"

// TestKilledUnderLoad kills the daemon again and again, at random moments, while
// many register, change, enrol and erase people over HTTP. Each time all that was
// acknowledged is found, nothing that was erased, and no half of anything.
func TestKilledUnderLoad(t *testing.T) {
	if dir := os.Getenv(daemonEnv); dir != "" {
		err := run(context.Background(), Box, []string{"--data", dir, "--listen", "127.0.0.1:0", "--packs", packs, "--rate-key", "0", "--rate-address", "0", "--camera", "none:"}, func(string) string { return "" }, os.Stdout, os.Stderr)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	needNetworks(t)
	k := &killing{t: t, dir: shortDir(t), people: map[store.PersonID]*fate{}}
	for n := range *killsFlag {
		k.once(time.Duration(rand.Int64N(int64(400 * time.Millisecond))))
		k.verify()
		if t.Failed() {
			t.Fatalf("after kill %d", n+1)
		}
	}
	registered, erased, enrolled := 0, 0, 0
	for _, f := range k.people {
		registered++
		if f.erased {
			erased++
		}
		if f.enrolled {
			enrolled++
		}
	}
	t.Logf("%d kills, %d requests acknowledged, %d cut off; %d people registered, %d enrolled, %d erased", *killsFlag, k.acked, k.cut, registered, enrolled, erased)
	if k.acked == 0 || k.cut == 0 {
		t.Error("no load")
	}
}

// fate is what a person's requests were told.
type fate struct {
	name     string
	enrolled bool
	erased   bool
	// unsure says that a request about him was cut off: of it, all or nothing is
	// there.
	unsure bool
}

type killing struct {
	t   *testing.T
	dir string

	mu         sync.Mutex // protects all below
	people     map[store.PersonID]*fate
	acked, cut int
}

// once runs a daemon under load and kills it some time after it is ready.
func (k *killing) once(after time.Duration) {
	k.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledUnderLoad$")
	cmd.Env = append(os.Environ(), daemonEnv+"="+k.dir)
	log, err := cmd.StderrPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	patience := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer patience.Stop()
	ready := regexp.MustCompile(`msg=ready url=(\S+)`)
	var said bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(log, &said))
	url := ""
	for url == "" && lines.Scan() {
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
	}
	if url == "" {
		cmd.Wait()
		k.t.Fatalf("not ready:\n%s", said.String())
	}
	go io.Copy(io.Discard, log)
	raw, err := os.ReadFile(filepath.Join(k.dir, bootstrapName))
	var boot bootstrapFile
	if err := errors.Join(err, json.Unmarshal(raw, &boot)); err != nil {
		k.t.Fatal(err)
	}
	var load sync.WaitGroup
	for n := range 8 {
		load.Go(func() { k.load(url, boot.APIKey, n) })
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	load.Wait()
	cmd.Wait() // it was killed
}

// load sends requests until one is cut off.
func (k *killing) load(url, apiKey string, n int) {
	c := &http.Client{Timeout: time.Minute}
	defer c.CloseIdleConnections()
	call := func(method, path, contentType string, body []byte, out any) bool {
		req, err := http.NewRequest(method, url+path, bytes.NewReader(body))
		if err != nil {
			k.t.Error(err)
			return false
		}
		req.Header.Set("Authorization", "Bearer "+apiKey)
		req.Header.Set("Content-Type", contentType)
		resp, err := c.Do(req)
		if err == nil {
			defer resp.Body.Close()
			var answer []byte
			if answer, err = io.ReadAll(resp.Body); err == nil {
				if resp.StatusCode >= 300 {
					k.t.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, answer)
					return false
				}
				if out != nil {
					err = json.Unmarshal(answer, out)
				}
			}
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if err != nil {
			k.cut++
			return false
		}
		k.acked++
		return true
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("n%d-%d-%d", n, i, rand.Int64())
		var made struct{ UserID store.PersonID }
		if !call("POST", "/register/", "application/json", fmt.Appendf(nil, `{"firstname":"a","lastname":"b","email":"%s@example.org"}`, name), &made) {
			return
		}
		f := &fate{name: "a"}
		k.note(made.UserID, f)
		f.unsure = true
		switch {
		case n == 0: // one enrols faces, which takes longer
			var link struct{ URL string }
			if !call("POST", "/upload/generate-url/", "application/json", fmt.Appendf(nil, `{"userId":"%s","imageName":"a.png","contentType":"image/png","type":"upload"}`, made.UserID), &link) {
				return
			}
			_, path, _ := strings.Cut(strings.TrimPrefix(link.URL, "http://"), "/")
			raw, err := os.ReadFile(mate)
			if err != nil {
				k.t.Error(err)
				return
			}
			if !call("PUT", "/"+path, "image/png", raw, nil) {
				return
			}
			f.enrolled = true
		case i%3 == 1:
			if !call("PUT", "/users/"+string(made.UserID), "application/json", fmt.Appendf(nil, `{"firstname":"%s"}`, name), nil) {
				return
			}
			f.name = name
		case i%3 == 2:
			if !call("DELETE", "/users/"+string(made.UserID), "application/json", nil, nil) {
				return
			}
			f.erased = true
		}
		f.unsure = false
	}
}

func (k *killing) note(id store.PersonID, f *fate) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.people[id] = f
}

// verify opens the data that the daemon has left.
func (k *killing) verify() {
	k.t.Helper()
	opt := bolt.Options{
		Environment: store.Sandbox, MustExist: true, LockTimeout: 10 * time.Second,
		Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: k.dir}),
	}
	s, err := bolt.Open(bolt.Path(k.dir, store.Sandbox), opt) // completes what was cut
	if err != nil {
		k.t.Fatal(err)
	}
	err = s.View(k.t.Context(), func(tx *store.Tx) error {
		for id, f := range k.people {
			k.verifyOne(tx, id, f)
		}
		for p, err := range store.All(tx, store.PersonsByMerchant) {
			if err != nil {
				return err
			}
			templates, err1 := store.Count(tx, store.TemplatesByPerson, store.Plain(p.ID))
			crops, err2 := store.Count(tx, store.CropsByPerson, store.Plain(p.ID))
			if err := errors.Join(err1, err2); err != nil || (p.Status == store.PersonEnrolled) != (templates > 0) || (templates > 0) != (crops > 0) {
				k.t.Errorf("half of %s: %s with %d templates and %d crops, %v", p.ID, p.Status, templates, crops, err)
			}
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		k.t.Fatal(err)
	}
	r, err := upkeep.CheckFiles(k.t.Context(), k.dir, opt, false)
	if err != nil || !r.Whole() {
		k.t.Errorf("check: %+v, %v", r, err)
	}
}

func (k *killing) verifyOne(tx *store.Tx, id store.PersonID, f *fate) {
	p, err := store.Get[store.Person](tx, id)
	switch {
	case f.erased && errors.Is(err, store.ErrNotFound):
	case f.erased:
		k.t.Errorf("%s was erased: %v", id, err)
	case f.unsure && errors.Is(err, store.ErrNotFound): // the erasure was cut off
		f.erased, f.unsure = true, false
	case err != nil:
		k.t.Errorf("%s was acknowledged: %v", id, err)
	case !f.unsure && p.Firstname != f.name || !f.unsure && f.enrolled != (p.Status == store.PersonEnrolled):
		k.t.Errorf("%s is called %s and %s, want %s and enrolled %v", id, p.Firstname, p.Status, f.name, f.enrolled)
	default:
		f.name, f.enrolled, f.unsure = p.Firstname, p.Status == store.PersonEnrolled, false
	}
}
