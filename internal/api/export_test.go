package api_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// unzip reads a ZIP into memory.
func unzip(t *testing.T, raw string) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	return files
}

// An export has every kind of record about a person, in JSON and in a ZIP, and
// nothing about anybody else.
func TestTheExportIsComplete(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bob := b.register("Ada"), b.register("Bobadilla")
	b.furnish(store.PersonID(ada))
	b.update(func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.merchant, Person: store.PersonID(ada), Action: "verify", Outcome: store.OutcomeMatch},
			map[string]string{"told": "mark-personal"})
		return err
	})
	whole := b.want(b.call("GET", "/users/"+ada+"/export/", nil), 200)
	zipped := b.want(b.call("GET", "/users/"+ada+"/export/?format=zip", nil), 200)
	if zipped.header.Get("Content-Type") != "application/zip" {
		t.Errorf("type %s", zipped.header.Get("Content-Type"))
	}
	files := unzip(t, zipped.raw)
	inZip := string(files["person.json"]) + string(files["events.jsonl"])
	for _, k := range store.PersonKinds() {
		for what, text := range map[string]string{"JSON": whole.raw, "ZIP": inZip} {
			if !strings.Contains(text, marks[k]) {
				t.Errorf("the %s has no %s", what, k)
			}
		}
	}
	for _, text := range []string{whole.raw, inZip} {
		if !strings.Contains(text, "mark-personal") || strings.Contains(text, "bm90LXRvLWJlLXRvbGQ") || strings.Contains(text, "not-to-be-told") || strings.Contains(text, bob) || strings.Contains(text, "Bobadilla") {
			t.Error("without the personal part of an event, or with somebody else")
		}
	}
	var person struct {
		Crops  []struct{ File string }
		Images []struct{ File string }
	}
	if err := json.Unmarshal(files["person.json"], &person); err != nil || len(person.Crops) != 1 || len(person.Images) != 1 {
		t.Fatalf("person.json: %+v, %v", person, err)
	}
	for _, name := range []string{person.Crops[0].File, person.Images[0].File} {
		if _, err := jpeg.Decode(bytes.NewReader(files[name])); err != nil || strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
			t.Errorf("picture %q: %v", name, err)
		}
	}
	if n := len(whole.body["events"].([]any)); n+1 != bytes.Count(files["events.jsonl"], []byte("\n")) || n < 3 {
		t.Errorf("%d events in JSON, %d in the ZIP", n, bytes.Count(files["events.jsonl"], []byte("\n")))
	}
	if e := b.lastEvent(store.EventAccess); e.Action != "user_export" || string(e.Person) != ada {
		t.Errorf("not audited: %+v", e)
	}
}

// Each field of each record is exported, or named here with the reason why not.
func TestTheExportHasEveryField(t *testing.T) {
	without := map[string]string{
		"merchant": "it is the caller", "person": "it is he", "rev": "counts changes", "updated": "when the record was last put",
		"password": "a hash", "processed": "how far an upload is", "used": "how far a session is", "by": "who settled a review, or the credential of a session", "frameSource": "which camera a session is bound to", "frameBytes": "how large a session's frames are together", "persons": "who else it is about",
		"hash": "what opens, hashed", "failures": "of an attacker", "locks": "of an attacker", "epoch": "of a decision", "event": "of a decision", "cause": "of a proposal", "outcome": "of a review", "review": "of a proposal", "was": "how somebody who is held was before",
	}
	named := map[string]string{ // where the export has another name for it
		"id": "userId imageKey sessionId consentId credentialId space", "lastUsed": "lastUsedAt", "locked": "lockedUntil", "created": "createdAt recordedAt mergedAt", "expires": "expiresAt", "name": "imageName", "purpose": "type", "image": "imageKey", "text": "textId",
		"given": "givenAt", "withdrawn": "withdrawnAt", "settled": "settledAt", "score": "similarity", "hash": "sha256",
	}
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	b.furnish(store.PersonID(ada))
	b.furnishFields(store.PersonID(ada))
	whole := b.want(b.call("GET", "/users/"+ada+"/export/", nil), 200).body
	for section, rec := range map[string]any{
		"user": store.Person{}, "crops": store.Crop{}, "templates": store.Template{}, "images": store.Image{}, "uploads": store.Ticket{},
		"sessions": store.Session{}, "grants": store.Grant{}, "reviews": store.Review{}, "consents": store.Consent{},
		"credentials": store.Credential{}, "candidates": store.Candidate{}, "formerIds": store.Former{},
	} {
		have := map[string]bool{}
		list, ok := whole[section].([]any)
		if !ok {
			list = []any{whole[section]}
		}
		for _, v := range list {
			for name := range v.(map[string]any) {
				have[name] = true
			}
		}
		if section == "user" { // what stands beside it
			have["home"], have["disputed"] = whole["home"] != nil, whole["disputed"] != nil
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(rec)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" || without[name] != "" || have[name] || slices.ContainsFunc(strings.Fields(named[name]), func(other string) bool { return have[other] }) {
				continue
			}
			t.Errorf("%s: no %s in %v", section, name, have)
		}
	}
}

func TestExportFormats(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	for accept, want := range map[string]string{
		"": "application/json", "application/json": "application/json", "application/zip": "application/zip", "*/*": "application/json",
		"text/html": "", "application/zip, application/json": "application/json",
	} {
		req, err := http.NewRequest("GET", b.url+"/users/"+ada+"/export/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+b.apiKey)
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		a := b.send(req)
		if want == "" {
			b.want(a, 406)
		} else if a.status != 200 || a.header.Get("Content-Type") != want {
			t.Errorf("%q: %d %s", accept, a.status, a.header.Get("Content-Type"))
		}
	}
	b.want(b.call("GET", "/users/"+ada+"/export/?format=pdf", nil), 400)
	b.want(b.call("GET", "/users/"+strings.Repeat("a", 24)+"/export/?format=zip", nil), 404)
	_, weak := b.newMerchant("Weak", auth.UsersRead)
	b.want(b.callAs("Bearer "+weak, "GET", "/users/"+ada+"/export/?format=zip", nil), 403)
}

// Of a large person nothing is missing, at the seams of the transactions that read
// him.
func TestALargeExport(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	const many = 1203
	for range 3 {
		b.update(func(tx *store.Tx) error {
			for range many / 3 {
				s := store.Session{ID: store.NewUUID[store.SessionID](), Merchant: b.merchant, Person: store.PersonID(ada), Mode: store.ModePassive, Status: store.SessionFailed, Expires: b.now.Add(1e12)}
				if err := store.Put(tx, &s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	whole := b.want(b.call("GET", "/users/"+ada+"/export/", nil), 200).body
	ids := map[string]bool{}
	for _, s := range whole["sessions"].([]any) {
		ids[fmt.Sprint(s.(map[string]any)["sessionId"])] = true
	}
	if len(ids) != many || len(whole["events"].([]any)) < many {
		t.Errorf("%d sessions and %d events of %d", len(ids), len(whole["events"].([]any)), many)
	}
}
