package audit

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/cypherface/edge/store"
)

// FuzzReceipt: what is not the receipt that was signed does not hold, whatever was
// done to it.
func FuzzReceipt(f *testing.F) {
	l := clearLog(f)
	p := store.Person{ID: store.NewID[store.PersonID](l.Clock()), Merchant: "m", Status: store.PersonRegistered}
	var seq uint64
	err := l.Store.Update(f.Context(), store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}, func(tx *store.Tx) error {
		err := errors.Join(store.Put(tx, &p), store.Erase(tx, p.ID))
		if err == nil {
			seq, err = store.Head(tx)
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	r, err := l.Receipt(f.Context(), "m", 0, seq, func(*store.Event) []Copy { return []Copy{{Where: "backups", Readable: true, Note: "x"}} })
	if err != nil {
		f.Fatal(err)
	}
	whole, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(`{"format":"cypherface erasure receipt 1"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := VerifyReceipt(b, l.key)
		if err != nil {
			if !errors.Is(err, ErrUntrue) {
				t.Fatalf("error %v, want ErrUntrue", err)
			}
			return
		}
		again, err := json.Marshal(got)
		if err != nil || string(again) != string(whole) {
			t.Fatalf("holds: %s", b)
		}
	})
}
