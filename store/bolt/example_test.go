package bolt_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	ctx, cause := context.Background(), store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: "1000"}}
	err = s.Update(ctx, cause, func(tx *store.Tx) error {
		m := store.Merchant{ID: store.NewID[store.MerchantID](tx.Time()), Name: "Analytical Engines"}
		p := store.Person{ID: store.NewID[store.PersonID](tx.Time()), Merchant: m.ID, Firstname: "Ada", Email: "ada@example.org"}
		if err := store.Put(tx, &m); err != nil {
			return err
		}
		return store.Put(tx, &p)
	})
	if err != nil {
		log.Fatal(err)
	}

	err = s.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			p, err := store.Find(tx, store.PersonByEmail, store.Plain(m.ID), store.Email("Ada@Example.org"))
			if err != nil {
				return err
			}
			fmt.Println(p.Firstname, "of", m.Name)
		}
		events, err := store.Outbox(tx, "central", 10)
		for _, e := range events {
			fmt.Println(e.Seq, e.Change.Op, e.Change.Kind, "by", e.Actor.Kind)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// Ada of Analytical Engines
	// 1 put merchant by cli
	// 2 put person by cli
}
