package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cypherface/edge/store"
)

// People says what becomes of those who are on a box when it joins.
type People string

const (
	Ask   People = ""      // nobody may be there
	Adopt People = "adopt" // they go up to the central
	Hold  People = "hold"  // they match no more until an operator has looked
	Erase People = "erase" // they are erased
)

// ErrPeople says that there are people on the box and nobody said what becomes of
// them.
var ErrPeople = errors.New("there are people on this box: say whether they are adopted, held or erased")

// ErrJoined says that the box belongs to a central already.
var ErrJoined = errors.New("this box has joined a central already (cypherface leave undoes it)")

// A Box joins a central.
type Box struct {
	Store    store.Store
	Merchant store.MerchantID // of the box, to whom all from the central will belong
	Name     string           // of the box, for people
	Cause    store.Cause      // who has it join
}

// Join joins the central of a code. What was done at the central before a failure is
// of no use to anybody: the claim is used up, and a new one has to be made.
func (b *Box) Join(ctx context.Context, text string, people People) (store.Link, error) {
	code, err := ParseCode(text)
	if err != nil {
		return store.Link{}, err
	}
	if err := b.ready(ctx, people); err != nil {
		return store.Link{}, err
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return store.Link{}, err
	}
	info := b.Store.Info()
	c := &caller{address: code.Address, client: http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: Pinned(code.Pin[:])},
	}}
	defer c.client.CloseIdleConnections()
	var challenge struct {
		Challenge string `json:"challenge"`
	}
	if err := c.post(ctx, "/api/join/challenge/", nil, &challenge); err != nil {
		return store.Link{}, err
	}
	r := Request{
		Secret: crockford.EncodeToString(code.Secret[:]), Device: info.Device, Environment: info.Environment, Epoch: info.Epoch,
		Name: b.Name, PublicKey: public, Challenge: challenge.Challenge,
	}
	r.Signature = ed25519.Sign(private, r.Statement(c.fingerprint))
	var answer Answer
	if err := c.post(ctx, "/api/join/", &r, &answer); err != nil {
		return store.Link{}, err
	}
	l := store.Link{
		Merchant: b.Merchant, Site: answer.Site, Central: answer.Central, Address: code.Address,
		Fingerprint: c.fingerprint, Bearer: answer.APIKey, Seed: private.Seed(),
	}
	if err := b.Store.Update(ctx, b.Cause, func(tx *store.Tx) error { return store.Join(tx, l) }); err != nil {
		return l, fmt.Errorf("keep what the central gave: %w", err)
	}
	return l, b.Settle(ctx, people)
}

// ready checks that a box may join.
func (b *Box) ready(ctx context.Context, people People) error {
	return b.Store.View(ctx, func(tx *store.Tx) error {
		if _, err := store.Get[store.Link](tx, store.TheLink); !errors.Is(err, store.ErrNotFound) {
			if err == nil {
				err = ErrJoined
			}
			return err
		}
		n, err := store.Count(tx, store.PersonsByMerchant, store.Plain(b.Merchant))
		if err == nil && n > 0 && people == Ask {
			err = fmt.Errorf("%w (%d)", ErrPeople, n)
		}
		return err
	})
}

// settleBatch is how many people one Update settles: decisions wait no longer.
const settleBatch = 64

// Settle does with the people who are on the box alone what was asked. It may be
// done again: whom it has reached already it passes over.
func (b *Box) Settle(ctx context.Context, people People) error {
	var all []store.PersonID
	err := b.Store.View(ctx, func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(b.Merchant)) {
			if err != nil {
				return err
			}
			if own, err := store.IsOwn(tx, store.KindPerson, string(p.ID)); err != nil {
				return err
			} else if own {
				all = append(all, p.ID)
			}
		}
		return nil
	})
	if err == nil && people == Adopt {
		err = b.Store.Update(ctx, b.Cause, func(tx *store.Tx) error { return adoptDoors(tx, b.Merchant) })
	}
	for len(all) > 0 && err == nil && people != Ask {
		batch := all[:min(settleBatch, len(all))]
		all = all[len(batch):]
		err = b.Store.Update(ctx, b.Cause, func(tx *store.Tx) error {
			for _, id := range batch {
				if err := settle(tx, b.Merchant, id, people); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("settle the people of the box: %w", err)
	}
	return nil
}

func settle(tx *store.Tx, m store.MerchantID, id store.PersonID, people People) error {
	switch people {
	case Erase:
		return store.Erase(tx, id)
	case Adopt:
		return store.AdoptPerson(tx, id)
	}
	p, err := store.Get[store.Person](tx, id)
	if err != nil || p.Status == store.PersonSuspended {
		return err
	}
	was := p.Status
	p.Status = store.PersonSuspended
	if err := store.Put(tx, &p); err != nil {
		return err
	}
	return store.Put(tx, &store.Review{ID: store.NewID[store.ReviewID](tx.Time()), Merchant: m, Reason: store.ReviewHeld, Persons: []store.PersonID{id}, Was: was})
}

// adoptDoors has the doors of the box go up, before the grants that are for them.
func adoptDoors(tx *store.Tx, m store.MerchantID) error {
	var doors []string
	for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(m)) {
		if err != nil {
			return err
		}
		doors = append(doors, string(d.ID))
	}
	for _, id := range doors {
		own, err := store.IsOwn(tx, store.KindDoor, id)
		if err == nil && own {
			err = store.Adopt(tx, store.KindDoor, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Rotate has the central give the box a new credential.
func (b *Box) Rotate(ctx context.Context) error {
	l, c, err := b.linked(ctx)
	if err != nil {
		return err
	}
	var answer Answer
	if err := c.post(ctx, "/api/join/rotate/", nil, &answer); err != nil {
		return err
	}
	return b.Store.Update(ctx, b.Cause, func(tx *store.Tx) error {
		now, err := store.Get[store.Link](tx, store.TheLink)
		if err != nil {
			return err
		}
		now.Bearer = answer.APIKey
		if err := store.Put(tx, &now); err != nil {
			return err
		}
		_, err = store.Append(tx, store.Event{Kind: store.EventSystem, Merchant: l.Merchant, Site: l.Site, Action: "rotate", Outcome: store.OutcomeDone}, nil)
		return err
	})
}

// Leave undoes Join, and tells the central where it can be reached. What came from
// the central stays and belongs to the box. It says whether the central has heard.
func (b *Box) Leave(ctx context.Context) (told bool, err error) {
	_, c, err := b.linked(ctx)
	if err != nil {
		return false, err
	}
	told = c.post(ctx, "/api/join/leave/", nil, &struct{}{}) == nil
	return told, b.Store.Update(ctx, b.Cause, store.Leave)
}

func (b *Box) linked(ctx context.Context) (l store.Link, c *caller, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) (err error) { l, err = store.Get[store.Link](tx, store.TheLink); return err })
	c = &caller{address: l.Address, bearer: l.Bearer, client: http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: Pinned(l.Fingerprint)},
	}}
	return l, c, err
}

// caller calls the central.
type caller struct {
	client          http.Client
	address, bearer string
	fingerprint     []byte // of its key, once it has answered
}

// maxAnswer bounds what a central may answer.
const maxAnswer = 64 << 10

// Refused is what a central answered instead.
type Refused struct {
	Status  int
	Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("the central refused: %s", r.Message) }

func (c *caller) post(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		raw = []byte("{}")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+path, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("%w: its address: %v", ErrCode, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("call the central at %s: %w", c.address, err)
	}
	defer resp.Body.Close()
	c.fingerprint = Fingerprint(resp.TLS)
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the central's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		refused := &Refused{Status: resp.StatusCode, Message: resp.Status}
		var said struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(b, &said) == nil && said.Message != "" {
			refused.Message = said.Message
		}
		return refused
	}
	return json.Unmarshal(b, answer)
}
