package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// smallFile is a bbolt file with a branch, leaves, a page over several, and a small
// bucket.
func smallFile(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, PageSize: 1024})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("large"))
			if err != nil {
				return err
			}
			for i := range 60 {
				if err := b.Put([]byte{byte(i), byte(n)}, make([]byte, 40+i*40*(n/2))); err != nil {
					return err
				}
			}
			b, err = tx.CreateBucketIfNotExists([]byte("small"))
			if err == nil {
				err = b.Put([]byte("k"), []byte("v"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// overtaken is a file to which commits are made between its two meta pages being
// read, the first few times.
type overtaken struct {
	file    []byte
	commits int
}

func (o *overtaken) ReadAt(b []byte, at int64) (int, error) {
	n, err := bytes.NewReader(o.file).ReadAt(b, at)
	for range min(o.commits, 3) {
		both, _ := readMetas(bytes.NewReader(o.file))
		m, _ := both.newest()
		meta := o.file[(m.tx+1)%2*uint64(m.pageSize)+pageHead:][:metaLen]
		binary.LittleEndian.PutUint64(meta[48:], m.tx+1)
		sum := fnv.New64a()
		sum.Write(meta[:56])
		binary.LittleEndian.PutUint64(meta[56:], sum.Sum64())
		o.commits--
	}
	return n, err
}

// TestMetasOvertaken reads the meta pages while commits are made: the pages of two
// moments are not taken for damage.
func TestMetasOvertaken(t *testing.T) {
	small := smallFile(t)
	both, err := readMetas(&overtaken{bytes.Clone(small), 3})
	if err != nil || both.lost() == "" {
		t.Errorf("the test proves nothing: %+v, %v", both, err)
	}
	both, err = settledMetas(&overtaken{small, 10})
	if lost := both.lost(); err != nil || lost != "" {
		t.Errorf("%s, %v", lost, err)
	}
}

// faultsOf checks a file that lies in memory.
func faultsOf(b []byte) (faults []store.Fault) {
	r := bytes.NewReader(b)
	both, err := readMetas(r)
	m, ok := both.newest()
	if err != nil || !ok || int64(m.pages)*int64(m.pageSize) > int64(len(b)) {
		return []store.Fault{{Where: "meta"}}
	}
	_, _ = checkPages(r, m, func(f store.Fault) { faults = append(faults, f) }, func() error { return nil })
	return faults
}

func TestWholePages(t *testing.T) {
	if faults := faultsOf(smallFile(t)); len(faults) > 0 {
		t.Errorf("%+v", faults)
	}
}

// FuzzPages changes a file anywhere, and has its meta pages vouch for it: the check
// neither panics nor hangs.
func FuzzPages(f *testing.F) {
	good := smallFile(f)
	f.Add([]byte{})
	f.Add([]byte{0, 0, 16 + 32, 9, 0, 4, 10, 255, 0, 12, 12, 255})
	f.Fuzz(func(t *testing.T, changes []byte) {
		b := bytes.Clone(good)
		for ; len(changes) >= 4; changes = changes[4:] {
			b[int(binary.BigEndian.Uint32(changes)>>8)%len(b)] = changes[3]
		}
		for at := range 2 {
			m := b[at*1024+pageHead:][:metaLen]
			sum := fnv.New64a()
			sum.Write(m[:56])
			binary.LittleEndian.PutUint64(m[56:], sum.Sum64())
		}
		faultsOf(b)
	})
}
