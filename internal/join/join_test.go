package join

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

func TestCodes(t *testing.T) {
	for _, address := range []string{"127.0.0.1:9080", "central.example:443", "[2001:db8::1]:9080"} {
		c := NewCode(bytes.Repeat([]byte{7}, 32), address)
		text := c.Text()
		for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), " " + strings.ReplaceAll(text, "-", " ") + "\n", strings.ReplaceAll(text, "0", "o")} {
			if got, err := ParseCode(typed); err != nil || got != c {
				t.Errorf("%q is read as %+v, %v", typed, got, err)
			}
		}
		for i := range text {
			if text[i] == '-' {
				continue
			}
			wrong := []byte(text)
			wrong[i] = map[bool]byte{true: 'A', false: 'B'}[wrong[i] == 'B']
			if _, err := ParseCode(string(wrong)); string(wrong) != text && err == nil {
				t.Errorf("%s, mistyped at %d, is taken", address, i)
			}
		}
	}
}

func FuzzParseCode(f *testing.F) {
	c := NewCode(bytes.Repeat([]byte{7}, 32), "127.0.0.1:9080")
	f.Add(c.Text())
	f.Add("CFJ1-")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCode(text)
		if err != nil {
			if !errors.Is(err, ErrCode) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseCode(c.Text()); err != nil || again != c {
			t.Fatalf("%+v is read as %+v, %v", c, again, err)
		}
	})
}

// world is a central with a site and one claim.
type world struct {
	*testing.T
	store      store.Store
	authority  *auth.Authority
	challenges *Challenges
	merchant   store.MerchantID
	site       store.Site
}

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{T: t, store: s, challenges: NewChallenges(), merchant: store.NewID[store.MerchantID](time.Now())}
	if w.authority, err = auth.Open(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	w.site = store.Site{ID: store.NewID[store.SiteID](time.Now()), Merchant: w.merchant, Name: "north"}
	w.update(func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &store.Merchant{ID: w.merchant, Status: store.Active}), store.Put(tx, &w.site))
	})
	return w
}

func (w *world) update(fn func(tx *store.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.Context(), cause, fn); err != nil {
		w.Fatal(err)
	}
}

var fingerprint = bytes.Repeat([]byte{7}, 32)

func (w *world) claim(life time.Duration) Code {
	code := NewCode(fingerprint, "127.0.0.1:9080")
	w.update(func(tx *store.Tx) error {
		_, err := Make(tx, w.merchant, store.Claim{Site: w.site.ID, Expires: time.Now().Add(life)}, code)
		return err
	})
	return code
}

// request is what a box with a new key says.
func (w *world) request(code Code, device store.DeviceID) (*Request, ed25519.PrivateKey) {
	public, private, _ := ed25519.GenerateKey(nil)
	r := &Request{
		Secret: crockford.EncodeToString(code.Secret[:]), Device: device, Environment: store.Sandbox, Name: "box", Epoch: 1,
		PublicKey: public, Challenge: w.challenges.New(time.Now()),
	}
	r.Signature = ed25519.Sign(private, r.Statement(fingerprint))
	return r, private
}

func (w *world) admit(r *Request) (a Answer, err error) {
	err = w.store.Update(w.Context(), cause, func(tx *store.Tx) error {
		a, err = Admit(tx, w.authority, w.challenges, r, fingerprint)
		return err
	})
	return a, err
}

// A claim is good once, in its time, for who proves his key to this central.
func TestAdmit(t *testing.T) {
	w := newWorld(t)
	device := store.NewUUID[store.DeviceID]()
	code := w.claim(time.Hour)
	good, key := w.request(code, device)
	for name, tt := range map[string]struct {
		spoil func(*Request)
		want  error
	}{
		"other secret":      {func(r *Request) { r.Secret = "0000000000000000" }, ErrClaim},
		"no secret":         {func(r *Request) { r.Secret = "!" }, ErrClaim},
		"other environment": {func(r *Request) { r.Environment = store.Production }, ErrEnv},
		"no challenge":      {func(r *Request) { r.Challenge = "x" }, ErrProof},
		"another's key":     {func(r *Request) { r.PublicKey = make([]byte, 32) }, ErrProof},
		"other device":      {func(r *Request) { r.Device = store.NewUUID[store.DeviceID]() }, ErrProof},
		"other central":     {func(r *Request) { r.Signature = ed25519.Sign(key, r.Statement(make([]byte, 32))) }, ErrProof},
		"old challenge": {func(r *Request) {
			r.Challenge = w.challenges.New(time.Now().Add(-time.Hour))
			r.Signature = ed25519.Sign(key, r.Statement(fingerprint))
		}, ErrProof},
	} {
		bad := *good
		tt.spoil(&bad)
		if _, err := w.admit(&bad); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	answer, err := w.admit(good)
	if err != nil || answer.Site != w.site.ID || answer.Central != w.store.Info().Device {
		t.Fatalf("%+v, %v", answer, err)
	}
	p, err := w.authority.Authenticate(t.Context(), []string{"Bearer " + answer.APIKey})
	if err != nil || p.Device != device || !p.Can(auth.Sync) || p.Can(auth.UsersRead) || p.Can(auth.Match) {
		t.Errorf("the box is %+v, %v", p, err)
	}
	again, _ := w.request(code, store.NewUUID[store.DeviceID]())
	if _, err := w.admit(again); !errors.Is(err, ErrClaim) {
		t.Errorf("the same code again: %v", err)
	}
	late, _ := w.request(w.claim(-time.Minute), device)
	if _, err := w.admit(late); !errors.Is(err, ErrClaim) {
		t.Errorf("a code of yesterday: %v", err)
	}
	var next string
	w.update(func(tx *store.Tx) (err error) { next, err = Rotate(tx, w.authority, device); return err })
	for _, k := range []string{answer.APIKey, next} {
		if _, err := w.authority.Authenticate(t.Context(), []string{"Bearer " + k}); err != nil {
			t.Errorf("while keys overlap: %v", err)
		}
	}
	back, _ := w.request(w.claim(time.Hour), device)
	if _, err := w.admit(back); err != nil {
		t.Errorf("the box comes back: %v", err)
	}
	for _, k := range []string{answer.APIKey, next} {
		if _, err := w.authority.Authenticate(t.Context(), []string{"Bearer " + k}); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("an old key after another joining: %v", err)
		}
	}
	w.update(func(tx *store.Tx) error { return Revoke(tx, w.merchant, device, "revoke") })
	_ = w.store.View(t.Context(), func(tx *store.Tx) error {
		if d, err := store.Get[store.Device](tx, device); err != nil || d.Status != store.Revoked {
			t.Errorf("revoked: %+v, %v", d, err)
		}
		return nil
	})
}
