package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// binding is a Sealer as a real one will be: values are encrypted and bound to
// their place, terms are hashed with a key.
type binding struct {
	aead  cipher.AEAD
	owner map[string]PersonID // who was named when a place was sealed
}

func newBinding(t *testing.T) *binding {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &binding{aead, map[string]PersonID{}}
}

func place(at Place) []byte { return fmt.Appendf(nil, "%q %x", at.Bucket, at.Key) }

func (s *binding) Seal(at Place, plain []byte) ([]byte, error) {
	s.owner[at.Bucket+"/"+string(at.Key)] = at.Person
	return s.aead.Seal(nil, nil, plain, place(at)), nil
}

func (s *binding) Open(at Place, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, place(at))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return plain, nil
}

func (s *binding) Blind(index string, prefix, term []byte) []byte {
	h := hmac.New(sha256.New, []byte("key"))
	fmt.Fprintf(h, "%q %x %x", index, prefix, term)
	return h.Sum(nil)[:16]
}

// TestSeam plants telling words wherever a record has room for them: with a
// Sealer that seals, none is to be found in any key or value.
func TestSeam(t *testing.T) {
	m, s := newMemory(), newBinding(t)
	l := prepare(t, m, s)
	const word = "Lovelace"
	event := Event{Kind: EventDecision, Merchant: "m", Person: "p", Reasons: []string{word}}
	write(t, l, m, func(tx *Tx) (err error) {
		event, err = Append(tx, event, word)
		return errors.Join(err,
			Put(tx, &Account{ID: "a", Merchant: "m", Firstname: word, Email: word}),
			Put(tx, &Person{ID: "p", Merchant: "m", Lastname: word, Email: word, ExternalID: word, Phone: word}),
			Put(tx, &Crop{ID: "c", Merchant: "m", Person: "p", Image: []byte(word)}),
			Put(tx, &Image{ID: "i", Merchant: "m", Person: "p", Name: word, Data: []byte(word)}),
			Put(tx, &Ticket{ID: "t", Merchant: "m", Person: "p", Name: word}),
			Put(tx, &Secret{Name: "s", Value: []byte(word)}),
		)
	})
	if all := m.dump(); strings.Contains(strings.ToLower(all), strings.ToLower(word)) {
		t.Error("the word is to be found")
	}
	tx := l.Read(m)
	p, err := Find(tx, PersonByEmail, Plain("m"), Email(strings.ToUpper(word)))
	if err != nil || p.Lastname != word {
		t.Errorf("found %+v, %v", p, err)
	}
	var got string
	if err := Personal(tx, &event, &got); err != nil || got != word {
		t.Errorf("personal part %q, %v", got, err)
	}
	for key, want := range map[string]PersonID{
		"record.person/p": "p", "record.crop/c": "p", "record.image/i": "p", "record.ticket/t": "p",
		"personal/" + string(seqKey(event.Seq)): "p", "record.account/a": "", "record.secret/s": "",
		"record.event/" + string(seqKey(event.Seq)): "",
	} {
		if owner, ok := s.owner[key]; !ok || owner != want {
			t.Errorf("%q was sealed for %q, %v, want %q", key, owner, ok, want)
		}
	}
}

// TestMovedValue: a value that was put in another's place is noticed.
func TestMovedValue(t *testing.T) {
	m := newMemory()
	l := prepare(t, m, newBinding(t))
	write(t, l, m, func(tx *Tx) error {
		return errors.Join(Put(tx, &Secret{Name: "a", Value: []byte{1}}), Put(tx, &Secret{Name: "b", Value: []byte{2}}))
	})
	secrets := m.buckets[recordBucket(KindSecret)]
	secrets["a"] = secrets["b"]
	if _, err := Get[Secret](l.Read(m), SecretName("a")); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
}

func TestClearBlind(t *testing.T) {
	seen := map[string]string{}
	for _, in := range [][3]string{{"i", "", "t"}, {"i", "t", ""}, {"it", "", ""}, {"i", "", "u"}, {"j", "", "t"}, {"", "i", "t"}} {
		b := Clear{}.Blind(in[0], []byte(in[1]), []byte(in[2]))
		if len(b) != 16 || seen[string(b)] != "" {
			t.Errorf("%q gives %x, as %s does", in, b, seen[string(b)])
		}
		seen[string(b)] = fmt.Sprint(in)
		if !bytes.Equal(b, Clear{}.Blind(in[0], []byte(in[1]), []byte(in[2]))) {
			t.Errorf("%q gives two hashes", in)
		}
	}
}
