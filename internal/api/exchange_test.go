package api_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/auth"
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
