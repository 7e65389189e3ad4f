package account

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
)

// Letters are tried again after letterPause, then after twice as long, up to
// letterLongest, until letterLife is over.
const (
	letterLife     = 24 * time.Hour
	letterPause    = time.Minute
	letterLongest  = time.Hour
	letterPatience = 30 * time.Second // with a relay
	postTick       = 15 * time.Second
)

// queue has a letter sent to an account.
func (s *Accounts) queue(tx *store.Tx, account *store.Account, use string) error {
	_, err := s.queueLetter(tx, store.Letter{Merchant: account.Merchant, Account: account.ID, Use: use})
	return err
}

// queueLetter has a letter sent, in the place of one of the same sort that waits.
func (s *Accounts) queueLetter(tx *store.Tx, l store.Letter) (store.LetterID, error) {
	if err := dropLetters(tx, cmp.Or(string(l.Account), string(l.Code)), l.Use); err != nil {
		return "", err
	}
	l.ID = store.NewID[store.LetterID](s.now())
	l.Next, l.Expires = s.now(), s.now().Add(letterLife)
	if s.Relay == nil && carriesCode(l.Use) {
		s.Log.Info("a code waits for somebody, as no mail relay is set", "hint", "cypherface mail codes shows it")
	}
	return l.ID, store.Put(tx, &l)
}

// dropLetters deletes the letters to an account, or with a code, for a use; ""
// stands for all.
func dropLetters(tx *store.Tx, reader, use string) error {
	var gone []store.LetterID
	for l, err := range store.All(tx, store.LettersByReader, store.Plain(reader)) {
		if err != nil {
			return err
		}
		if use == "" || l.Use == use {
			gone = append(gone, l.ID)
		}
	}
	for _, id := range gone {
		if err := store.Delete[store.Letter](tx, id); err != nil {
			return err
		}
	}
	return nil
}

// poke has Run look at once.
func (s *Accounts) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends the letters that wait until ctx ends. At its beginning it tries all that
// waited when the box stopped, due or not: perhaps it was stopped to set the relay.
func (s *Accounts) Run(ctx context.Context) error {
	tick := time.NewTicker(postTick)
	defer tick.Stop()
	for due := s.now().Add(letterLongest); ; due = s.now() {
		if s.Relay != nil {
			s.sendDue(ctx, due)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// sendDue sends what is due by then, each letter once.
func (s *Accounts) sendDue(ctx context.Context, then time.Time) {
	var due []store.Letter
	err := s.store.View(ctx, func(tx *store.Tx) error {
		page, err := store.List(tx, store.LettersByTurn, store.Query[store.Letter]{To: store.Moment(then.Add(1))})
		due = page.Items
		return err
	})
	for i := 0; err == nil && i < len(due) && ctx.Err() == nil; i++ {
		if sendErr := s.deliver(ctx, due[i].ID); sendErr != nil && !errors.Is(sendErr, ErrRelay) {
			err = sendErr
		}
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("send mail", "err", err)
	}
}

// deliver sends a letter now. The error is ErrRelay where the relay did not take it;
// then it waits for its next turn, if it has one.
func (s *Accounts) deliver(ctx context.Context, id store.LetterID) error {
	var m mail.Message
	var letter store.Letter
	gone := false
	err := s.store.Update(ctx, postCause, func(tx *store.Tx) (err error) {
		letter, err = store.Get[store.Letter](tx, id)
		if errors.Is(err, store.ErrNotFound) {
			gone = true // sent, shown, or withdrawn
			return nil
		} else if err != nil {
			return err
		}
		// Who sends it has it until its next turn: nobody else does meanwhile.
		letter.Tries++
		letter.Next = s.now().Add(min(letterPause<<min(letter.Tries-1, 10), letterLongest))
		m, err = s.compose(tx, &letter)
		if errors.Is(err, errNobody) || err == nil && !s.now().Before(letter.Expires) {
			gone = true
			return store.Delete[store.Letter](tx, id)
		} else if err != nil {
			return err
		}
		return store.Put(tx, &letter)
	})
	if err != nil || gone {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, letterPatience)
	defer cancel()
	sendErr := s.Relay.Send(limit, m)
	if sendErr != nil {
		s.Log.Warn("the mail relay did not take a mail", "tries", letter.Tries, "err", sendErr)
	}
	err = s.store.Update(context.WithoutCancel(ctx), postCause, func(tx *store.Tx) error {
		event := store.Event{Kind: store.EventSystem, Merchant: letter.Merchant, Action: "mail", Outcome: store.OutcomeDone, Reasons: []string{letter.Use}}
		if sendErr != nil {
			event.Outcome = store.OutcomeFailed
		}
		if sendErr == nil || errors.Is(sendErr, mail.ErrRefused) {
			if err := store.Delete[store.Letter](tx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		_, err := store.Append(tx, event, nil)
		return err
	})
	if sendErr != nil {
		return errors.Join(ErrRelay, err)
	}
	return err
}

var postCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "mail"}}

// A Letter that waits, as the box's operator sees it, who hands on what it says.
type Letter struct {
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Expires time.Time `json:"expires"`
}

// Codes takes the letters that wait out of the queue and returns them, with codes
// that are made now. It is for the box's operator, where no relay is set or it does
// not work.
func (s *Accounts) Codes(ctx context.Context, cause store.Cause) (all []Letter, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		all = nil
		page, err := store.List(tx, store.LettersByTurn, store.Query[store.Letter]{})
		if err != nil {
			return err
		}
		for _, letter := range page.Items {
			m, err := s.compose(tx, &letter)
			if err == nil {
				all = append(all, Letter{m.To, m.Subject, m.Text, letter.Expires})
				_, err = store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: letter.Merchant, Action: "code_shown", Outcome: store.OutcomeDone, Reasons: []string{letter.Use}}, nil)
			}
			if err != nil && !errors.Is(err, errNobody) {
				return err
			}
			if err := store.Delete[store.Letter](tx, letter.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// Waiting counts the letters that wait.
func (s *Accounts) Waiting(ctx context.Context) (n int, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		n, err = store.Count(tx, store.LettersByTurn)
		return err
	})
	return n, err
}

// TestMail sends a mail now. The error is ErrNoRelay or ErrRelay with the reason.
func (s *Accounts) TestMail(ctx context.Context, to string) error {
	if s.Relay == nil {
		return ErrNoRelay
	}
	limit, cancel := context.WithTimeout(ctx, letterPatience)
	defer cancel()
	return s.Relay.Send(limit, mail.Message{To: to, Subject: "A test of CypherFace Edge", Text: "This box can send mail.\n"})
}
