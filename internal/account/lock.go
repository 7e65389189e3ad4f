package account

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/cypherface/edge/store"
)

// Failures are counted for an account (an e-mail address, whether it is one or not)
// and for a network address. After freeTries of them within tryWindow nobody is let
// in for firstLock, and after each further one for twice as long, up to maxLock.
// lockMemory after the last failure all is forgotten.
const (
	freeTries  = 10
	tryWindow  = 15 * time.Minute
	firstLock  = time.Minute
	maxLock    = time.Hour
	lockMemory = 24 * time.Hour
)

// What is counted.
const (
	lockAccount = "account"
	lockAddress = "address"
	// lockPlace counts for an account at an address that it was signed in from
	// before. There the two others do not hold, so that somebody who guesses
	// elsewhere does not lock the holder out.
	lockPlace  = "place"
	lockFactor = "factor" // wrong codes of the second step, for an account
	lockAsks   = "asks"   // mails asked for, from an address
	lockMails  = "mails"  // mails sent to an account
)

// lockID names what is counted of whom; see store.Lock.
func (s *Accounts) lockID(sort string, whose ...string) store.LockID {
	return store.LockID(sort + "." + hex.EncodeToString(s.Authority.Tag("lock", append([]string{sort}, whose...)...)[:2]))
}

// tries are what a login counts against.
type tries []store.LockID

// triesOf says against what somebody's login counts: at a place that he is known
// from, against that alone.
func (s *Accounts) triesOf(account *store.Account, address, place string) tries {
	if account.ID != "" && s.knownAt(account, place) {
		return tries{s.lockID(lockPlace, string(account.ID), place)}
	}
	return tries{s.lockID(lockAccount, fold(address)), s.lockID(lockAddress, place)}
}

// admit is LockedError where there were too many failures, those included of which
// it is not known yet whether they are ones. Otherwise it counts one of these, until
// the returned function is called.
func (s *Accounts) admit(tx *store.Tx, of tries) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, id := range of {
		lock, err := readLock(tx, id, now)
		if err != nil {
			return nil, err
		}
		if now.Before(lock.Until) {
			return nil, &LockedError{lock.Until.Sub(now)}
		}
		// Beyond the free ones it is one at a time.
		if busy := s.trying[id]; busy > 0 && lock.Failures+busy >= freeTries {
			return nil, &LockedError{time.Second}
		}
	}
	for _, id := range of {
		s.trying[id]++
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range of {
			if s.trying[id]--; s.trying[id] == 0 {
				delete(s.trying, id)
			}
		}
	}, nil
}

// fail counts a failure, and reports whether it was one too many.
func (s *Accounts) fail(tx *store.Tx, of tries) (locked bool, err error) {
	now := s.now()
	for _, id := range of {
		lock, err := readLock(tx, id, now)
		if err != nil {
			return locked, err
		}
		lock.Failures++
		lock.Expires = lock.Since.Add(tryWindow)
		if over := lock.Failures - freeTries; over >= 0 {
			lock.Until = now.Add(min(firstLock<<min(over, 10), maxLock))
			lock.Expires, locked = now.Add(lockMemory), true
		}
		if err := store.Put(tx, &lock); err != nil {
			return locked, err
		}
	}
	return locked, nil
}

// forgive forgets the failures of somebody who has proved who he is. Those of his
// network address stay: else who has an account of his own could guess at others
// from there without an end.
func (s *Accounts) forgive(tx *store.Tx, account *store.Account, place string) error {
	for _, id := range []store.LockID{
		s.lockID(lockAccount, fold(account.Email)),
		s.lockID(lockPlace, string(account.ID), place),
		s.lockID(lockFactor, string(account.ID)),
	} {
		if err := store.Delete[store.Lock](tx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// readLock returns what is counted, from 0 where there is nothing or it is over.
func readLock(tx *store.Tx, id store.LockID, now time.Time) (store.Lock, error) {
	lock, err := store.Get[store.Lock](tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return lock, err
	}
	lock.ID = id
	if err != nil || !now.Before(lock.Expires) {
		lock.Failures, lock.Since, lock.Until = 0, now, time.Time{}
	}
	return lock, nil
}

// often counts something that is no failure but must not happen too often, such as
// a mail. The error is LockedError when there were most of them within an hour.
func (s *Accounts) often(tx *store.Tx, id store.LockID, most int) error {
	now := s.now()
	lock, err := readLock(tx, id, now)
	if err != nil {
		return err
	}
	if lock.Failures >= most {
		return &LockedError{lock.Expires.Sub(now)}
	}
	lock.Failures++
	lock.Expires = lock.Since.Add(time.Hour)
	return store.Put(tx, &lock)
}

// An account knows up to maxPlaces places for placeLife.
const (
	maxPlaces = 8
	placeLife = 90 * 24 * time.Hour
)

func (s *Accounts) placeTag(account *store.Account, place string) []byte {
	return s.Authority.Tag("place", string(account.ID), place)[:16]
}

func (s *Accounts) knownAt(account *store.Account, place string) bool {
	tag := s.placeTag(account, place)
	for _, p := range account.Places {
		if string(p.Tag) == string(tag) && s.now().Sub(p.Seen) < placeLife {
			return true
		}
	}
	return false
}

// remember notes that somebody signed in from a place.
func (s *Accounts) remember(account *store.Account, place string) {
	tag, now := s.placeTag(account, place), s.now()
	var kept []store.KnownPlace
	for _, p := range account.Places {
		if string(p.Tag) != string(tag) && now.Sub(p.Seen) < placeLife {
			kept = append(kept, p)
		}
	}
	kept = append(kept, store.KnownPlace{Tag: tag, Seen: now})
	account.Places = kept[max(0, len(kept)-maxPlaces):]
}
