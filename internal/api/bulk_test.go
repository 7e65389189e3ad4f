package api_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/docs/client"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// zipOf is an archive of names and contents by turns.
func zipOf(files ...any) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i].(string))
		if err != nil {
			panic(err)
		}
		switch data := files[i+1].(type) {
		case string:
			f.Write([]byte(data))
		case []byte:
			f.Write(data)
		}
	}
	w.Close()
	return b.Bytes()
}

// bulk sends an archive and waits for the end of the work.
func (b *box) bulk(archive []byte) (id string) {
	b.t.Helper()
	a := b.want(b.call("POST", "/bulk/enrol/", upload{archive, "application/zip"}), 202)
	return b.bulkDone(a)["bulkId"].(string)
}

func (b *box) bulkDone(a answer) map[string]any {
	b.t.Helper()
	job := a.body["bulk"].(map[string]any)
	for end := time.Now().Add(time.Minute); job["state"] == "running"; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("it does not end: %v", job)
		}
		job = b.want(b.call("GET", "/bulk/"+job["bulkId"].(string)+"/", nil), 200).body["bulk"].(map[string]any)
	}
	return job
}

// The whole way over HTTP: an archive, its progress, its report in either form, and
// the end of it.
func TestBulkOverHTTP(t *testing.T) {
	b := newBox(t, store.Sandbox)
	table := "firstname,lastname,email,externalId,image\nAda,Lovelace,ada@example.org,a1,ada.jpg\nBob,B,not an address,b2,bob.jpg\n=cmd(),C,,,none.jpg\n"
	archive := zipOf("people.csv", table, "ada.jpg", jpegOf(red).data, "bob.jpg", jpegOf(blue).data)
	a := b.want(b.call("POST", "/bulk/enrol/?check=true", upload{archive, "application/zip"}), 202)
	if job := b.bulkDone(a); job["enrolled"] != 1.0 || job["check"] != true {
		t.Errorf("a check: %v", job)
	}
	if list := b.want(b.call("GET", "/users/", nil), 200).body["users"].([]any); len(list) != 0 {
		t.Errorf("a check enrolled %v", list)
	}
	id := b.bulk(archive)
	report := b.want(b.call("GET", "/bulk/"+id+"/report/", nil), 200).body["entries"].([]any)
	if len(report) != 3 || report[0].(map[string]any)["outcome"] != "enrolled" || report[1].(map[string]any)["hint"] != "email is not an e-mail address" {
		t.Errorf("%v", report)
	}
	refused := b.want(b.call("GET", "/bulk/"+id+"/report/?outcome=refused", nil), 200).body["entries"].([]any)
	if len(refused) != 2 || refused[1].(map[string]any)["pictures"].([]any)[0].(map[string]any)["name"] != "none.jpg" {
		t.Errorf("%v", refused)
	}
	as := b.want(b.call("GET", "/bulk/"+id+"/report/?format=csv", nil), 200)
	rows, err := csv.NewReader(strings.NewReader(as.raw)).ReadAll()
	if err != nil || len(rows) != 4 || rows[1][2] != "enrolled" || !strings.HasPrefix(as.header.Get("Content-Type"), "text/csv") {
		t.Errorf("%v: %q", err, rows)
	}
	if list := b.want(b.call("GET", "/bulk/", nil), 200).body["bulks"].([]any); len(list) != 2 {
		t.Errorf("%v", list)
	}
	b.want(b.call("DELETE", "/bulk/"+id+"/", nil), 200)
	b.want(b.call("GET", "/bulk/"+id+"/", nil), 404)
	users := b.want(b.call("GET", "/users/", nil), 200).body["users"].([]any)
	if len(users) != 1 || users[0].(map[string]any)["email"] != "ada@example.org" || users[0].(map[string]any)["status"] != "enrolled" {
		t.Errorf("%v", users)
	}
}

// The Go client enrols many people at once.
func TestTheGoClientForBulk(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ctx := t.Context()
	must := b.must
	c := client.New(b.url, b.apiKey)
	archive := zipOf("people.csv", "firstname,lastname,email,image\nAda,Lovelace,ada@example.org,ada.jpg\nBob,B,no address,bob.jpg\n", "ada.jpg", jpegOf(red).data, "bob.jpg", jpegOf(blue).data)
	for _, check := range []bool{true, false} {
		job, err := c.BulkEnrol(ctx, bytes.NewReader(archive), client.BulkOptions{Check: check})
		must(err)
		for end := time.Now().Add(time.Minute); job.State == "running" && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			job, err = c.Bulk(ctx, job.BulkID)
			must(err)
		}
		if job.State != "done" || job.Check != check || job.Enrolled != 1 || job.Refused != 1 || job.Done != 2 {
			t.Errorf("%+v", job)
		}
		all, err := c.BulkReport(ctx, job.BulkID, "")
		must(err)
		refused, err := c.BulkReport(ctx, job.BulkID, "refused")
		must(err)
		if len(all) != 2 || len(refused) != 1 || refused[0].Number != 2 || refused[0].Hint == "" || !check && all[0].UserID == "" {
			t.Errorf("all %+v, refused %+v", all, refused)
		}
		must(c.EndBulk(ctx, job.BulkID))
	}
	jobs, err := c.Bulks(ctx)
	must(err)
	if len(jobs) != 0 {
		t.Errorf("forgotten, and there: %+v", jobs)
	}
}

func TestBulkAsAForm(t *testing.T) {
	b := newBox(t, store.Sandbox)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("image", "/home/me/ada.jpg")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(jpegOf(red).data)
	w.WriteField("people", "externalId,image\na1,ada.jpg\n")
	w.Close()
	a := b.want(b.call("POST", "/bulk/enrol/", upload{body.Bytes(), w.FormDataContentType()}), 202)
	if job := b.bulkDone(a); job["enrolled"] != 1.0 {
		t.Errorf("%v", job)
	}
	for _, tt := range []struct {
		query  string
		sent   upload
		status int
	}{
		{"", upload{[]byte("x"), "application/zip"}, 422},
		{"", upload{zipOf("people.csv", "a,b\n"), "application/zip"}, 422},
		{"", upload{[]byte("x"), "multipart/form-data"}, 400},
		{"", upload{body.Bytes()[:200], w.FormDataContentType()}, 400},
		{"", upload{[]byte("x"), "image/png"}, 406},
		{"?check=maybe", upload{zipOf(), "application/zip"}, 400},
		{"?existing=kill", upload{zipOf(), "application/zip"}, 400},
		{"?x=1", upload{zipOf(), "application/zip"}, 400},
	} {
		b.want(b.call("POST", "/bulk/enrol/"+tt.query, tt.sent), tt.status)
	}
	var odd bytes.Buffer
	w = multipart.NewWriter(&odd)
	w.WriteField("other", "x")
	w.Close()
	b.want(b.call("POST", "/bulk/enrol/", upload{odd.Bytes(), w.FormDataContentType()}), 400)
	const nothing = "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff"
	for _, path := range []string{"/bulk/" + nothing, "/bulk/" + nothing + "/report"} {
		b.want(b.call("GET", path, nil), 404)
	}
	b.want(b.call("GET", "/bulk/7", nil), 400)
	b.want(b.call("GET", "/bulk/"+nothing+"/report?format=xml", nil), 400)
	b.want(b.call("GET", "/bulk/"+nothing+"/report?outcome=x", nil), 400)
	apiKey, key := b.auth.NewKey(b.merchant, "", store.RoleIntegrator, auth.Enrol)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	b.want(b.callAs("Bearer "+apiKey, "POST", "/bulk/enrol/", upload{zipOf(), "application/zip"}), http.StatusForbidden)
}

func TestBulkThroughTheControlSocket(t *testing.T) {
	b := newBox(t, store.Sandbox)
	status, m := do(t, b.control(t, uint32(os.Getuid())), "POST", "/bulk/enrol/", upload{zipOf("ada.jpg", jpegOf(red).data), "application/zip"})
	if status != 202 || m["bulk"].(map[string]any)["people"] != 1.0 {
		t.Errorf("%d %v", status, m)
	}
	b.bulkDone(answer{body: m})
}

// Both entries are named that may be one person: by number and label in a check, by
// number where they are enrolled.
func TestBulkNamesTwins(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.faces.twins = []verify.Twin{{Number: 3, Of: 1}}
	archive := zipOf("people.csv", "externalId,image\na1,ada.jpg\nb2,bob.jpg\nc3,ada.jpg\n", "ada.jpg", jpegOf(red).data, "bob.jpg", jpegOf(blue).data)
	job := b.bulkDone(b.want(b.call("POST", "/bulk/enrol/?check=true", upload{archive, "application/zip"}), 202))
	if job["duplicates"] != 1.0 || job["enrolled"] != 3.0 {
		t.Errorf("%v", job)
	}
	path := "/bulk/" + job["bulkId"].(string) + "/report/"
	report := b.want(b.call("GET", path, nil), 200).body["entries"].([]any)
	if e := report[2].(map[string]any); e["label"] != "line 4" || e["sameFaceAs"] != 1.0 || e["sameFaceAsLabel"] != "line 2" {
		t.Errorf("%v", report)
	}
	rows, err := csv.NewReader(strings.NewReader(b.want(b.call("GET", path+"?format=csv", nil), 200).raw)).ReadAll()
	if err != nil || len(rows) != 4 || !slices.Equal(rows[3][8:], []string{"1", "line 2"}) || rows[1][8] != "" {
		t.Errorf("%v: %q", err, rows)
	}

	b.faces.duplicates = true
	job = b.bulkDone(b.want(b.call("POST", "/bulk/enrol/", upload{archive, "application/zip"}), 202))
	report = b.want(b.call("GET", "/bulk/"+job["bulkId"].(string)+"/report/", nil), 200).body["entries"].([]any)
	first, last := report[0].(map[string]any), report[2].(map[string]any)
	if first["sameFaceAs"] != nil { // whichever of the two came later
		first, last = last, first
	}
	if last["possibleDuplicateOf"] != first["userId"] || last["sameFaceAs"] != first["number"] || last["sameFaceAsLabel"] != nil {
		t.Errorf("%v", report)
	}
}
