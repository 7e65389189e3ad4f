package daemon

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// traces are what must lie open nowhere: what it is, and its bytes.
type traces map[string][]byte

// find looks for them in the files of a folder, their names, and texts: as they are,
// in small letters, in hex and in base64.
func (tr traces) find(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	needles := map[string][]byte{}
	for what, b := range tr {
		needles[what] = b
		needles[what+" in small letters"] = bytes.ToLower(b)
		needles[what+" in hex"] = []byte(hex.EncodeToString(b))
		for i := range 3 { // whatever stands before it
			text := base64.StdEncoding.EncodeToString(append(make([]byte, i), b...))
			needles[fmt.Sprintf("%s in base64 %d", what, i)] = []byte(text[(i*8+5)/6+1 : len(text)-4])
		}
	}
	look := func(where string, raw []byte) {
		for what, needle := range needles {
			if bytes.Contains(raw, needle) {
				t.Errorf("%s has %s", where, what)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		look(path, raw)
		look("the name of "+path, []byte(filepath.Base(path)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range texts {
		look(where, []byte(text))
	}
}

// TestNothingLiesOpen: a person is registered, enrolled, compared, found and erased
// over the real API. Neither what tells who he is nor what opens the API lies open in
// a file of the box, in the name of one, or in its log at the level debug.
func TestNothingLiesOpen(t *testing.T) {
	const marker, phone = "LovelaceOfOckham", "+441514960815162"
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:", "--log-level", "debug")
	if err := os.Remove(filepath.Join(dir, bootstrapName)); err != nil { // as its operator does
		t.Fatal(err)
	}
	picture, err := os.ReadFile(mate)
	if err != nil {
		t.Fatal(err)
	}
	tr := traces{"a name": []byte(marker), "a phone number": []byte(phone), "the API key": []byte(d.boot.APIKey), "a picture": picture[len(picture)/2 : len(picture)/2+64]}
	if raw, err := hex.DecodeString(strings.ReplaceAll(d.boot.APIKey, "-", "")); err == nil {
		tr["the bytes of the API key"] = raw
	}
	tr["a token"] = []byte(d.token("/access-token", "merchantId", string(d.boot.MerchantID), "x-api-key", d.boot.APIKey))
	tr["the token that followed"] = []byte(d.token("/refresh-token", "Authorization", string(tr["a token"])))

	user := d.call("POST", "/register/", fmt.Sprintf(`{"firstname":%q,"lastname":%q,"email":"%s@example.org","phone":%q,"externalId":%q,"password":%q}`,
		marker+"First", marker, marker, phone, marker, marker+"Password"), 201)
	id := user["userId"].(string)
	for i, kind := range []string{"upload", "match"} {
		link := d.call("POST", "/api/upload/generate-url/", fmt.Sprintf(`{"userId":%q,"imageName":"%s.png","contentType":"image/png","type":%q}`, id, marker, kind), 200)
		u, err := url.Parse(link["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range u.Query() {
			if len(values[0]) > 20 { // long enough to be a secret
				tr[fmt.Sprintf("%s of upload link %d", name, i)] = []byte(values[0])
			}
		}
		tr.find(t, dir, nil)
		d.call("PUT", link["url"].(string), mate, 200)
	}
	if len(tr) < 6 {
		t.Fatalf("no secret in the upload links: %d traces", len(tr))
	}
	d.call("POST", "/api/face/match/", fmt.Sprintf(`{"userId":%q}`, id), 200)
	d.call("POST", "/api/identify/", other, 200)
	tr.find(t, dir, map[string]string{"the log": d.log.String()})
	d.call("DELETE", "/users/"+id, "", 200)
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	for name, secret := range secrets(t, dir) {
		tr["the secret "+name] = secret
	}
	tr.find(t, dir, map[string]string{"the log": d.log.String()})
	if !strings.Contains(d.log.String(), "level=INFO") || !strings.Contains(d.log.String(), "/users/{userId}") {
		t.Errorf("the log says nothing of the requests:\n%s", d.log)
	}
}

// token asks for a token, with headers.
func (d *daemonRun) token(path string, header ...string) string {
	d.t.Helper()
	req, err := http.NewRequest("POST", d.url+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m struct{ AccessToken string }
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || m.AccessToken == "" {
		d.t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
	return m.AccessToken
}

// secrets reads what the box signs and hashes with.
func secrets(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, MustExist: true, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[string][]byte{}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		for _, name := range []store.SecretName{"api-key-hash", "token-signature", "upload-signature", "audit-signature"} {
			secret, err := store.Get[store.Secret](tx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			found[string(name)] = secret.Value
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
