package backup

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// Long enough not to turn up in random bytes, in any spelling.
const markerOfAda, markerOfBob = "LovelaceOfOckham", "BabbageOfWalworth"

// mark puts a marker into every field of a record that is free text or bytes.
func mark(rec any, marker string) {
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch name := v.Type().Field(i).Name; {
		case name == "Space": // of a network
		case f.Type() == reflect.TypeFor[string]():
			f.SetString(marker + name)
		case f.Type() == reflect.TypeFor[[]byte]():
			f.SetBytes([]byte(marker + name))
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{marker + name}))
		}
	}
}

// vector is a template whose bytes are a marker too.
func vector(marker string) (v []float32, raw []byte) {
	for i := range 64 {
		bits := 0x3d000000 | uint32(marker[i%len(marker)])<<8 | uint32(marker[(i+3)%len(marker)])
		v, raw = append(v, math.Float32frombits(bits)), binary.LittleEndian.AppendUint32(raw, bits)
	}
	return v, raw[:32]
}

// furnish makes a record of every kind there is about a person, with a marker in
// every field, and changes some, so that older versions lie in freed pages.
func (b *box) furnish(marker string) (p store.Person) {
	b.Helper()
	p = store.Person{ID: store.NewID[store.PersonID](now), Merchant: "m", Status: store.PersonEnrolled}
	mark(&p, marker)
	at := now
	crop := store.Crop{ID: store.NewID[store.CropID](at), Merchant: "m", Person: p.ID}
	template := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: "m", Person: p.ID, Space: "x"}
	image := store.Image{ID: store.ImageID(store.NewUUID[store.TicketID]()), Merchant: "m", Person: p.ID, Purpose: "match", Expires: at}
	ticket := store.Ticket{ID: store.NewUUID[store.TicketID](), Merchant: "m", Person: p.ID, Expires: at}
	grant := store.Grant{ID: store.NewID[store.GrantID](at), Merchant: "m", Person: p.ID, Door: "d"}
	session := store.Session{ID: store.NewUUID[store.SessionID](), Merchant: "m", Person: p.ID, Expires: at}
	review := store.Review{ID: store.NewID[store.ReviewID](at), Merchant: "m", Persons: []store.PersonID{p.ID}}
	consent := store.Consent{ID: store.NewID[store.ConsentID](at), Merchant: "m", Person: p.ID, Given: at}
	sighting := store.Sighting{ID: p.ID, Merchant: "m", Person: p.ID}
	credential := store.Credential{ID: store.NewID[store.CredentialID](at), Merchant: "m", Person: p.ID, Type: store.CredentialPIN}
	candidate := store.Candidate{ID: store.NewID[store.CropID](at), Merchant: "m", Person: p.ID, Expires: at}
	former := store.Former{ID: store.FormerID(store.NewID[store.PersonID](at)), Merchant: "m", Person: p.ID}
	for _, rec := range []any{&crop, &template, &image, &ticket, &grant, &session, &review, &consent, &sighting, &credential, &candidate, &former} {
		mark(rec, marker)
	}
	template.Vector, _ = vector(marker)
	b.update(func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m", Person: p.ID}, map[string]string{"name": marker})
		return errors.Join(err, store.Put(tx, &p), store.Put(tx, &crop), store.Put(tx, &template), store.Put(tx, &image),
			store.Put(tx, &ticket), store.Put(tx, &grant), store.Put(tx, &session), store.Put(tx, &review), store.Put(tx, &consent), store.Put(tx, &sighting),
			store.Put(tx, &credential), store.Put(tx, &candidate), store.Put(tx, &former))
	})
	for range 3 {
		b.update(func(tx *store.Tx) error {
			p.Phone += marker
			_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m", Person: p.ID}, marker)
			return errors.Join(err, store.Put(tx, &p), store.Put(tx, &crop), store.Put(tx, &session))
		})
	}
	return p
}

// TestEveryKindIsKnown: who adds a kind of record adds it here, and to furnish where
// it tells about a person.
func TestEveryKindIsKnown(t *testing.T) {
	furnished := "person crop template image ticket grant session review event consent sighting credential candidate former"
	others := "merchant account code lock letter key retired secret site door device period migration bulk bulk_item link box foreign pending claim consent-text"
	file, err := parser.ParseFile(token.NewFileSet(), "../schema.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Kind" {
			kind := strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
			found++
			if !slices.Contains(strings.Fields(furnished+" "+others), kind) {
				t.Errorf("does a %s tell about a person?", kind)
			}
		}
		return true
	})
	if found < len(strings.Fields(furnished)) {
		t.Errorf("%d kinds found", found)
	}
}

func (b *box) ring() *seal.Ring {
	b.Helper()
	ring, err := seal.Open(seal.Path(b.dir, store.Sandbox), b.master(), seal.Options{MustExist: true})
	if err != nil {
		b.Fatal(err)
	}
	return ring
}

// TestErasure: a person is known in every way there is; the box makes hot copies,
// periods and a backup, and is compacted; then the person is erased. After that, no
// file has a word about him, and one who has all files and all keys that the box has
// opens nothing of him: not from the store, its freed pages, its copies, its audit
// log, nor what an older backup brought back or put aside.
func TestErasure(t *testing.T) {
	b := newBox(t)
	ada, bob := b.furnish(markerOfAda), b.furnish(markerOfBob)
	keeper := upkeep.New(upkeep.Config{Store: b.store, Dir: b.dir, Copies: 9})
	if err := keeper.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.archive() // the personal parts of events as well
	path := b.backup()
	b.update(func(tx *store.Tx) error {
		ada.Lastname += markerOfAda
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m", Person: ada.ID}, markerOfAda)
		return errors.Join(err, store.Put(tx, &ada))
	})
	if err := keeper.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.checkNoWord(markerOfAda, path)
	b.checkNoWord(markerOfBob, path)
	b.close()
	before := b.thief(markerOfAda)
	if before.told == 0 || before.erased != 0 {
		t.Fatalf("before the erasure: %+v", before)
	}
	hash := b.ring().Blind("person-email", []byte("m\x00\x01"), []byte(strings.ToLower(ada.Email)))
	if !bytes.Contains(b.read(partStore), hash) {
		t.Fatal("the e-mail address is hidden otherwise")
	}

	b.open()
	b.update(func(tx *store.Tx) error { return store.Erase(tx, ada.ID) })
	b.checkErased(ada, bob, path)
	keeper = upkeep.New(upkeep.Config{Store: b.store, Dir: b.dir})
	if err := keeper.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.checkErased(ada, bob, path)
	b.close()
	if n := bytes.Count(b.read(partStore), hash); n != 0 {
		t.Errorf("the compacted store has the hash of the e-mail address %d times", n)
	}
	if _, err := Restore(t.Context(), b.plan(path)); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.checkErased(ada, bob, path)
	b.update(func(tx *store.Tx) error { return store.Erase(tx, bob.ID) }) // also from what lies aside
	b.close()
	if found := b.thief(markerOfBob); found.told != 0 {
		t.Errorf("of the one who was erased after the restore a thief finds %+v", found)
	}
}

// checkErased looks for the person in every way.
func (b *box) checkErased(ada, bob store.Person, backups ...string) {
	b.Helper()
	b.checkNoWord(markerOfAda, backups...)
	err := b.store.View(b.Context(), func(tx *store.Tx) error {
		if p, err := store.Get[store.Person](tx, ada.ID); !errors.Is(err, store.ErrNotFound) {
			b.Errorf("the erased person is %+v, %v", p, err)
		}
		if p, err := store.Get[store.Person](tx, bob.ID); err != nil || !strings.HasPrefix(p.Lastname, markerOfBob) {
			b.Errorf("the other person is %+v, %v", p, err)
		}
		n, err := store.Count(tx, store.CropsByPerson, store.Plain(ada.ID))
		m, err2 := store.Count(tx, store.PersonByEmail, store.Plain("m"), store.Email(ada.Email))
		if n+m > 0 {
			b.Errorf("%d lines of the erased person", n+m)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		b.Error(err)
	}
	b.checkPeriods(ada, bob)
	b.close()
	found := b.thief(markerOfAda)
	if found.told != 0 || found.erased == 0 || found.opened == 0 {
		b.Errorf("a thief finds %+v", found)
	}
	if other := b.thief(markerOfBob); other.told == 0 {
		b.Errorf("of the other person a thief with all keys finds %+v", other)
	}
	b.open()
}

// checkPeriods reads the personal parts of the events in the audit log.
func (b *box) checkPeriods(ada, bob store.Person) {
	b.Helper()
	log, err := audit.Open(b.Context(), audit.Config{Store: b.store, Dir: audit.Dir(b.dir, store.Sandbox)})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	var out bytes.Buffer
	if err := log.Export(b.Context(), &out, audit.ExportOptions{Epoch: 1, Personal: true}); err != nil {
		b.Fatal(err)
	}
	if strings.Contains(out.String(), markerOfAda) || !strings.Contains(out.String(), markerOfBob) || !strings.Contains(out.String(), string(ada.ID)) {
		b.Errorf("an export of the log tells %q", out.String())
	}
}

// checkNoWord looks through all files, and their names, for a marker: as it is, in
// hex, in base64, and as a template.
func (b *box) checkNoWord(marker string, more ...string) {
	b.Helper()
	_, template := vector(marker)
	needles := map[string][]byte{"text": []byte(marker), "small": []byte(strings.ToLower(marker)), "template": template, "hex": []byte(hex.EncodeToString([]byte(marker)))}
	for i := range 3 { // whatever stands before it
		text := base64.StdEncoding.EncodeToString(append(make([]byte, i), marker...))
		needles["base64 "+string(rune('0'+i))] = []byte(text[(i*8+5)/6+1 : len(text)-4])
	}
	for _, path := range append(b.files(), more...) {
		raw, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		for name, needle := range needles {
			if bytes.Contains(raw, needle) {
				b.Errorf("%s has the marker as %s", path, name)
			}
		}
		if strings.Contains(strings.ToLower(path), strings.ToLower(marker)) {
			b.Errorf("the name of %s", path)
		}
	}
}

func (b *box) read(name string) []byte {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join(b.live(), name))
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// files lists all files of the box.
func (b *box) files() (paths []string) {
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return paths
}

// rings opens every keyring that lies in the files of the box.
func (b *box) rings() (rings []*seal.Ring) {
	b.Helper()
	for _, path := range b.files() {
		if !strings.HasPrefix(filepath.Base(path), partKeyring) {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		stolen := filepath.Join(b.TempDir(), partKeyring)
		if err := os.WriteFile(stolen, raw, 0o600); err != nil {
			b.Fatal(err)
		}
		ring, err := seal.Open(stolen, b.master(), seal.Options{MustExist: true})
		if err != nil {
			b.Errorf("%s: %v", path, err)
			continue
		}
		rings = append(rings, ring)
	}
	return rings
}

// loot is what a thief finds who has the files and the keys of a box.
type loot struct {
	opened int // values
	told   int // of these, with a word about the person
	erased int // values whose key was destroyed
}

// thief tries to open every value in every file, also in pages that were freed.
func (b *box) thief(marker string) (l loot) {
	b.Helper()
	rings := b.rings()
	_, template := vector(marker)
	for _, path := range b.files() {
		for _, v := range b.values(path) {
			for _, ring := range rings {
				plain, err := ring.Open(v.at, v.sealed)
				if errors.Is(err, store.ErrErased) {
					l.erased++
					continue
				} else if err != nil {
					continue
				}
				l.opened++
				if bytes.Contains(plain, []byte(marker)) || bytes.Contains(plain, template) || bytes.Contains(plain, []byte(base64.StdEncoding.EncodeToString([]byte(marker))[:20])) {
					l.told++
				}
			}
		}
	}
	return l
}

// value is something sealed that lies in a file, and where it might belong.
type value struct {
	at     store.Place
	sealed []byte
}

// values finds what looks like sealed values of a store in the pages of a file,
// whether a store still knows of them or not.
func (b *box) values(path string) (found []value) {
	b.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var buckets []string
	if db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true}); err == nil {
		_ = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
				if strings.HasPrefix(string(name), "record.") || string(name) == "personal" {
					buckets = append(buckets, string(name))
				}
				return nil
			})
		})
		db.Close()
	}
	for at := 0; at+16 <= len(raw); at += os.Getpagesize() {
		leaf(raw[at:], func(k, v []byte) {
			for _, bucket := range buckets {
				found = append(found, value{store.Place{Bucket: bucket, Key: k}, v})
			}
		})
	}
	return found
}

// leaf calls fn for what a leaf page of bbolt holds and looks like a sealed value:
// a header of 16 bytes (number, flags, count, overflow), and for each key 16 bytes
// (flags, place, length of the key and of the value). Small buckets lie in the page
// of the one above, behind 16 bytes.
func leaf(page []byte, fn func(k, v []byte)) {
	const leafPage = 2
	if len(page) < 16 || binary.LittleEndian.Uint16(page[8:]) != leafPage {
		return
	}
	for i := range int(binary.LittleEndian.Uint16(page[10:])) {
		at := 16 + 16*i
		if at+16 > len(page) {
			return
		}
		field := func(n int) int { return int(binary.LittleEndian.Uint32(page[at+4*n:])) }
		begin, keyLen, valueLen := at+field(1), field(2), field(3)
		if begin+keyLen+valueLen > len(page) {
			continue
		}
		k, v := page[begin:begin+keyLen], page[begin+keyLen:begin+keyLen+valueLen]
		switch {
		case field(0) == 1 && len(v) > 16:
			leaf(v[16:], fn)
		case len(v) > 45 && v[0] == 0xc1:
			fn(k, v)
		}
	}
}

// TestWhatRemains states the limits that docs/security.md names: they are true, and
// who lifts one changes both.
func TestWhatRemains(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	b.close()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Unlock(b.key, nil); err != nil {
		t.Fatal(err)
	}
	stolen := filepath.Join(t.TempDir(), "stolen")
	keyring, err := f.extract(t.Context(), stolen, func(string) error { return nil }, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := f.envelope.Restore(keyring, filepath.Join(stolen, "keyring"), b.master())
	if err != nil {
		t.Fatal(err)
	}
	if !ring.Has(id("ada").Tag()) {
		t.Error("an older backup and its recovery key no longer open what was in it: say so in docs/security.md")
	}
}

// TestOlderFolderPutBack: somebody puts an older folder of the environment back, the
// store and its keyring together. The erasure log outside of it knows better.
func TestOlderFolderPutBack(t *testing.T) {
	b := newBox(t)
	b.close()
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(b.live())); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.erase("ada")
	b.close()
	if err := errors.Join(os.RemoveAll(b.live()), os.CopyFS(b.live(), os.DirFS(kept))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.open()
		if got := b.people(); got != "bob" {
			t.Errorf("there are %q, want bob alone", got)
		}
		b.close()
		if b.ring().Has(id("ada").Tag()) {
			t.Error("the key is there again")
		}
	}
}
