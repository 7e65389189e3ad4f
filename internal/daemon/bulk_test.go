package daemon

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// zipped is an archive with a file under a name.
func zipped(t *testing.T, name, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

// A bulk enrolment over HTTP with the real networks goes on through a restart of
// the daemon in its middle: each person is enrolled once.
func TestBulkGoesOnAfterARestart(t *testing.T) {
	raw, err := os.ReadFile(mate)
	if err != nil {
		t.Fatal(err)
	}
	const people = 24
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for n := range people {
		f, err := w.Create(fmt.Sprintf("p%02d.png", n))
		if err != nil {
			t.Fatal(err)
		}
		f.Write(raw)
		f.Write(fmt.Appendf(nil, "%d", n)) // behind its end: the same picture in another file
	}
	w.Close()
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	req, err := http.NewRequest("POST", d.url+"/bulk/enrol/", &archive)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/zip")
	req.Header.Set("Authorization", "Bearer "+d.boot.APIKey)
	resp, err := d.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct{ Bulk struct{ BulkID string } }
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != 202 {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, body)
	}
	job := func() (state string, done float64, all map[string]any) {
		all = d.call("GET", "/bulk/"+answer.Bulk.BulkID+"/", "", 200)["bulk"].(map[string]any)
		return all["state"].(string), all["done"].(float64), all
	}
	for _, done, _ := job(); done < 4; _, done, _ = job() {
		time.Sleep(2 * time.Millisecond)
	}
	_, before, _ := job()
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	d = start(t, dir, "--camera", "none:")
	for state, _, _ := job(); state == "running"; state, _, _ = job() {
		time.Sleep(5 * time.Millisecond)
	}
	if _, _, all := job(); all["enrolled"] != float64(people) || all["duplicates"].(float64) < people-1 {
		t.Errorf("%v", all)
	}
	users := d.call("GET", "/users/?limit=100", "", 200)["users"].([]any)
	if len(users) != people || before == people {
		t.Errorf("%d users, %v before the restart; want %d", len(users), before, people)
	}
}
