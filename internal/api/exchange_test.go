package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/store"
)

// People go from one box to another over HTTP, and nobody reads them on the way.
func TestExchangeOverHTTP(t *testing.T) {
	from, to := newBox(t, store.Sandbox), newBox(t, store.Sandbox)
	id := from.enrolled("Adalbertine", red)
	from.keepsCrops(id, red)
	key := to.want(to.call("GET", "/exchange/key/", nil), 200)
	out := from.want(from.call("POST", "/exchange/export/", `{"recipient":`+quote(key.text("recipient"))+`}`), 200)
	if strings.Contains(out.raw, "Adalbertine") || !strings.HasPrefix(out.raw, "cypherface people 1\n") {
		t.Error("the file lies in the clear, or is none")
	}
	signer := from.want(from.call("GET", "/exchange/key/", nil), 200).text("signer")
	sent := upload{[]byte(out.raw), "application/octet-stream"}
	job := to.bulkDone(to.want(to.call("POST", "/exchange/import/?check=true&from="+signer, sent), 202))
	if job["enrolled"] != 1.0 {
		t.Errorf("a check: %v", job)
	}
	job = to.bulkDone(to.want(to.call("POST", "/exchange/import/?from="+signer, sent), 202))
	if job["enrolled"] != 1.0 {
		t.Errorf("%v", job)
	}
	if u := to.want(to.call("GET", "/users/"+id+"/", nil), 200).body["user"].(map[string]any); u["firstname"] != "Adalbertine" || u["status"] != "enrolled" {
		t.Errorf("%v", u)
	}
	if got := to.want(to.call("GET", "/image/"+id+"/", nil), 200); got.raw != string(jpegOf(red).data) {
		t.Error("the crop is another")
	}
	for _, tt := range []struct {
		query  string
		sent   upload
		status int
	}{
		{"?from=0000", sent, 422},
		{"", upload{[]byte(out.raw[:len(out.raw)-5]), "application/octet-stream"}, 422},
		{"", upload{[]byte("x"), "application/octet-stream"}, 422},
		{"?existing=kill", sent, 400},
		{"?existing=new", sent, 202},
		{"?existing=update", sent, 202},
	} {
		a := to.want(to.call("POST", "/exchange/import/"+tt.query, tt.sent), tt.status)
		if tt.status == 202 {
			to.bulkDone(a)
		}
	}
	from.want(from.call("POST", "/exchange/import/", sent), 422) // it is sealed to the other one
	from.want(from.call("POST", "/exchange/export/", `{"recipient":"x"}`), 400)
	from.want(from.call("POST", "/exchange/export/", `{}`), 400)
	apiKey, weak := to.auth.NewKey(to.merchant, "", store.RoleIntegrator, auth.UsersExport, auth.Bulk)
	to.update(func(tx *store.Tx) error { return store.Put(tx, &weak) })
	to.want(to.callAs("Bearer "+apiKey, "POST", "/exchange/import/", sent), http.StatusForbidden)
	if status, _ := do(t, to.control(t, uint32(os.Getuid())), "POST", "/exchange/import/", sent); status != 202 {
		t.Errorf("through the control socket: %d", status)
	}
}

func quote(s string) string {
	return `"` + string(bytes.ReplaceAll([]byte(s), []byte("\n"), []byte(`\n`))) + `"`
}

// keptExport makes an export for the box itself that can be fetched.
func (b *box) keptExport() answer {
	b.t.Helper()
	key := b.want(b.call("GET", "/exchange/key/", nil), 200)
	return b.want(b.call("POST", "/exchange/export/", `{"keep":true,"recipient":`+quote(key.text("recipient"))+`}`), 201)
}

// part fetches a part of an export.
func (b *box) part(id, spec, ifRange string) answer {
	b.t.Helper()
	req, err := http.NewRequest("GET", b.url+"/exchange/export/"+id, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.apiKey)
	req.Header.Set("Range", spec)
	if ifRange != "" {
		req.Header.Set("If-Range", ifRange)
	}
	return b.send(req)
}

// An export that is kept is fetched in parts, which fit to one file; it is gone when
// its time is over, when it is removed, and when somebody is erased.
func TestAnExportIsFetchedInParts(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.enrolled("Adalbertine", red)
	b.keepsCrops(ada, red)
	made := b.keptExport()
	id := made.text("exportId")
	if made.body["people"] != 1.0 {
		t.Error(made.raw)
	}
	whole := b.want(b.call("GET", "/exchange/export/"+id, nil), 200)
	if size := len(whole.raw); float64(size) != made.body["bytes"] || strings.Contains(whole.raw, "Adalbertine") || whole.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d bytes, %v", size, whole.header)
	}
	tag := whole.header.Get("ETag")
	for _, tt := range []struct {
		spec, ifRange string
		status        int
		want          string
	}{
		{"bytes=100-", tag, 206, whole.raw[100:]},
		{"bytes=0-99", "", 206, whole.raw[:100]},
		{"bytes=100-", `"another"`, 200, whole.raw},
		{fmt.Sprintf("bytes=%d-", len(whole.raw)), tag, 200, whole.raw},
		{"bytes=-5", "", 200, whole.raw},
		{"bytes=0-1,5-6", "", 200, whole.raw},
		{"bytes=5-1", "", 200, whole.raw},
		{"bytes=99999999999999999999-", "", 200, whole.raw},
		{"lines=1-", "", 200, whole.raw},
	} {
		if a := b.part(id, tt.spec, tt.ifRange); a.status != tt.status || a.raw != tt.want {
			t.Errorf("%s if %s: status %d, %d bytes", tt.spec, tt.ifRange, a.status, len(a.raw))
		}
	}
	b.restart() // it is there after one
	if a := b.part(id, "bytes=100-", tag); a.status != 206 || a.raw != whole.raw[100:] {
		t.Errorf("after a restart: status %d, %d bytes", a.status, len(a.raw))
	}
	job := b.bulkDone(b.want(b.call("POST", "/exchange/import/", upload{[]byte(whole.raw), "application/octet-stream"}), 202))
	if job["exists"] != 1.0 {
		t.Errorf("%v", job)
	}

	gone := func(why, id string) {
		t.Helper()
		b.want(b.call("GET", "/exchange/export/"+id, nil), 404)
		b.want(b.call("DELETE", "/exchange/export/"+id, nil), 404)
		if files, err := os.ReadDir(filepath.Join(b.dir, "exports")); err != nil || len(files) > 0 {
			t.Errorf("%s: %v is left, %v", why, files, err)
		}
	}
	b.want(b.call("DELETE", "/exchange/export/"+id, nil), 200)
	gone("removed", id)
	id = b.keptExport().text("exportId")
	b.wait(bulk.KeepExport - time.Minute)
	b.want(b.call("GET", "/exchange/export/"+id, nil), 200)
	b.wait(time.Minute)
	b.want(b.call("GET", "/exchange/export/"+id, nil), 404)
	b.restart()
	gone("its time is over", id)
	id = b.keptExport().text("exportId")
	b.register("Bea")
	b.want(b.call("GET", "/exchange/export/"+id, nil), 200)
	b.want(b.call("DELETE", "/users/"+ada, nil), 200)
	gone("somebody is erased", id)
	for range 4 {
		b.keptExport()
	}
	key := b.want(b.call("GET", "/exchange/key/", nil), 200)
	b.want(b.call("POST", "/exchange/export/", `{"keep":true,"recipient":`+quote(key.text("recipient"))+`}`), 409)
	b.want(b.call("GET", "/exchange/export/7", nil), 400)
}
