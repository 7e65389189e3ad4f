package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// review is one as the API shows it; the users are there for those who may see them.
type review struct {
	ReviewID   store.ReviewID      `json:"reviewId"`
	Reason     store.ReviewKind    `json:"reason"`
	State      string              `json:"state"`
	UserIDs    []store.PersonID    `json:"userIds"`
	Similarity float64             `json:"similarity,omitempty"`
	Decision   string              `json:"verificationId,omitempty"` // of a wrong match
	Cause      store.ReviewCause   `json:"cause,omitempty"`
	CreatedAt  time.Time           `json:"createdAt"`
	SettledAt  time.Time           `json:"settledAt,omitzero"`
	SettledBy  *store.Actor        `json:"settledBy,omitempty"`
	Outcome    store.ReviewOutcome `json:"outcome,omitempty"`
	Users      []user              `json:"users,omitempty"`
}

func toReview(r *store.Review) review {
	out := review{
		ReviewID: r.ID, Reason: r.Reason, State: r.State(), UserIDs: r.Persons, Similarity: round(r.Score), Cause: r.Cause, CreatedAt: r.Created,
		SettledAt: r.Settled, SettledBy: actorOrNone(r.By), Outcome: r.Outcome,
	}
	if r.Event > 0 {
		out.Decision = fmt.Sprintf("%d-%d", r.Epoch, r.Event)
	}
	return out
}

var reviewReasons = []store.ReviewKind{store.ReviewDuplicate, store.ReviewLookAlike, store.ReviewConflict, store.ReviewWrongMatch, store.ReviewAgeing}

// listReviews is GET /reviews/: the open ones, oldest first, or with state=settled
// the others.
func (a *API) listReviews(c *call) error {
	q, err := pageQuery[store.Review](c.r, "state", "reason")
	if err != nil {
		return err
	}
	v := c.r.URL.Query()
	state, reason := v.Get("state"), store.ReviewKind(v.Get("reason"))
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	switch state {
	case "":
		state = "open"
	case "open", "settled":
	default:
		bad.Field("state", "must be open or settled")
	}
	if reason != "" {
		if !slices.Contains(reviewReasons, reason) {
			bad.Field("reason", "must be duplicate, look_alike, conflict, wrong_match or ageing")
		}
		q.Keep = func(r *store.Review) bool { return r.Reason == reason }
	}
	if bad.Details != nil {
		return bad
	}
	q.Prefix = []store.Term{store.Plain(c.Merchant), store.Plain(state)}
	var page store.Page[store.Review]
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		page, err = store.List(tx, store.ReviewsByMerchant, q)
		return err
	})
	if err != nil {
		return err
	}
	list := make([]review, len(page.Items))
	for i := range page.Items {
		list[i] = toReview(&page.Items[i])
	}
	return c.reply(http.StatusOK, struct {
		Success    bool         `json:"success"`
		Reviews    []review     `json:"reviews"`
		NextCursor store.Cursor `json:"nextCursor,omitempty"`
	}{true, list, page.Next})
}

func (c *call) reviewID() (store.ReviewID, error) {
	id, err := store.ParseID[store.ReviewID](c.r.PathValue("reviewId"))
	if err != nil {
		return "", badID("reviewId")
	}
	return id, nil
}

func (c *call) replyReview(status int, r review) error {
	return c.reply(status, struct {
		Success bool   `json:"success"`
		Review  review `json:"review"`
	}{true, r})
}

// showReview is GET /reviews/{reviewId}/.
func (a *API) showReview(c *call) error {
	id, err := c.reviewID()
	if err != nil {
		return err
	}
	var out review
	err = a.store.View(c.ctx(), func(tx *store.Tx) error {
		r, err := store.GetOf[store.Review](tx, c.Merchant, id)
		if err != nil {
			return err
		}
		out = toReview(&r)
		for _, p := range r.Persons {
			if !c.Can(auth.UsersRead) {
				break
			}
			one, err := store.GetOf[store.Person](tx, c.Merchant, p)
			if err != nil {
				return err
			}
			out.Users = append(out.Users, toUser(&one))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.replyReview(http.StatusOK, out)
}

// settleReview is POST /reviews/{reviewId}/settle/.
func (a *API) settleReview(c *call) error {
	id, err := c.reviewID()
	if err != nil {
		return err
	}
	var in struct {
		Outcome store.ReviewOutcome `json:"outcome"`
		Into    store.PersonID      `json:"into"`
		Fields  []string            `json:"fields"`
		DryRun  bool                `json:"dryRun"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	switch in.Outcome {
	case store.SettledSame:
		return a.settleSame(c, id, in.Into, in.Fields, in.DryRun)
	case store.SettledDifferent, store.SettledDismissed, store.SettledUpdated:
	default:
		return web.Fail(http.StatusBadRequest, "the outcome is none").Field("outcome", "must be different_people, same_person, updated or dismissed")
	}
	if in.Into != "" || in.Fields != nil || in.DryRun {
		return web.Fail(http.StatusBadRequest, "into, fields and dryRun go with same_person").Field("outcome", "is not same_person")
	}
	if in.Outcome == store.SettledUpdated {
		return a.settleUpdated(c)
	}
	var settled store.Review
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		settled, err = rights.Settle(tx, c.Merchant, id, in.Outcome, c.Actor)
		return err
	})
	if err != nil {
		return err
	}
	return c.replyReview(http.StatusOK, toReview(&settled))
}

// settleSame merges the two whom a review is about.
func (a *API) settleSame(c *call, id store.ReviewID, into store.PersonID, fields []string, dry bool) error {
	var r store.Review
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		r, err = rights.Open(tx, c.Merchant, id)
		return err
	})
	if err != nil {
		return err
	}
	if len(r.Persons) != 2 {
		return rights.ErrOutcome
	}
	at := slices.Index(r.Persons, into)
	if at < 0 {
		return web.Fail(http.StatusBadRequest, "say who of the two stays").Field("into", "must be one of the review's userIds")
	}
	return a.mergeUsers(c, rights.Merge{Merchant: c.Merchant, Into: into, From: r.Persons[1-at], Fields: fields}, dry)
}

// merge is POST /users/{userId}/merge/: the user takes over another one, who is no
// more.
func (a *API) merge(c *call) error {
	var in struct {
		From   string   `json:"from"`
		Fields []string `json:"fields"`
		DryRun bool     `json:"dryRun"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	from, err := store.ParseID[store.PersonID](in.From)
	if err != nil {
		return badID("from")
	}
	var into store.Person
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		into, err = c.one(tx)
		return err
	})
	if err != nil {
		return err
	}
	return a.mergeUsers(c, rights.Merge{Merchant: c.Merchant, Into: into.ID, From: from, Fields: in.Fields}, in.DryRun)
}

// errDry ends a merge that was only to be tried.
var errDry = errors.New("it was only tried")

func (a *API) mergeUsers(c *call, m rights.Merge, dry bool) error {
	var moved rights.Moved
	merged, err := a.Verifier.Merge(c.ctx(), verify.MergeRequest{
		Cause: c.cause(), Merchant: c.Merchant, Into: m.Into, From: m.From,
		Move: func(tx *store.Tx) (err error) {
			if moved, err = m.Do(tx); err == nil && dry {
				err = errDry
			}
			return err
		},
	})
	if err != nil && !errors.Is(err, errDry) {
		return err
	}
	out := struct {
		Success     bool           `json:"success"`
		DryRun      bool           `json:"dryRun"`
		Message     string         `json:"message"`
		UserID      store.PersonID `json:"userId"`
		From        store.PersonID `json:"from"`
		User        user           `json:"user"` // as it is, or would be
		Crops       int            `json:"crops"`
		Dropped     int            `json:"cropsDropped"`
		Grants      int            `json:"grants"`
		Credentials int            `json:"credentials"`
		LostPINs    int            `json:"pinsLost"`
		Consents    int            `json:"consents"`
		Erasure     string         `json:"erasureId,omitempty"`
	}{
		true, dry, "Users merged. There is no way back.", m.Into, m.From, toUser(&moved.Person), merged.Crops, merged.Dropped,
		moved.Grants, moved.Credentials, moved.LostPINs, moved.Consents, "",
	}
	if dry {
		out.Message = "Nothing was changed. There is no way back from a merge."
	} else {
		out.Erasure = a.erasureID(moved.Erasure)
	}
	return c.reply(http.StatusOK, out)
}

// markWrong is POST /verifications/{verificationId}/wrong/: the decision took one
// for another.
func (a *API) markWrong(c *call) error {
	var in struct {
		Actual string `json:"actualUserId"`
	}
	if err := web.DecodeOptional(c.r, &in, 0); err != nil {
		return err
	}
	actual, err := store.ParseID[store.PersonID](in.Actual)
	if err != nil && in.Actual != "" {
		return badID("actualUserId")
	}
	e, err := a.decision(c, c.r.PathValue("verificationId"))
	if err != nil {
		return err
	}
	var r store.Review
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		r, err = rights.MarkWrong(tx, &e, actual)
		return err
	})
	if err != nil {
		return err
	}
	return c.replyReview(http.StatusCreated, toReview(&r))
}

// decision finds an event of the merchant by EPOCH-SEQ, by SEQ of the present epoch,
// or the decision of a request by its id.
func (a *API) decision(c *call, word string) (e store.Event, err error) {
	if a.Audit == nil {
		return e, web.Fail(http.StatusServiceUnavailable, "the journal is not open")
	}
	if len(word) == 36 {
		return a.decisionOf(c, word)
	}
	epochWord, seqWord, both := strings.Cut(word, "-")
	if !both {
		epochWord, seqWord = strconv.FormatUint(a.info.Epoch, 10), word
	}
	epoch, err1 := strconv.ParseUint(epochWord, 10, 62)
	seq, err2 := strconv.ParseUint(seqWord, 10, 62)
	if err1 != nil || err2 != nil || epoch == 0 || seq == 0 {
		return e, web.Fail(http.StatusBadRequest, "the id is not well formed").Field("verificationId", "must be EPOCH-SEQ, SEQ, or the id of a request")
	}
	if e, err = a.Audit.Event(c.ctx(), epoch, seq); err != nil {
		return e, auditProblem(err)
	}
	if e.Merchant != c.Merchant {
		return store.Event{}, store.ErrNotFound
	}
	return e, nil
}

// decisionPages is how far back a request is looked for: some 400,000 events.
const decisionPages = 20

func (a *API) decisionOf(c *call, request string) (e store.Event, err error) {
	q := audit.Query{
		Merchant: c.Merchant, Kinds: []store.EventKind{store.EventDecision}, Limit: 1,
		Match: func(e *store.Event) bool { return e.Request == request },
	}
	for range decisionPages {
		page, err := a.history(c.ctx(), q)
		if err != nil {
			return e, err
		}
		if len(page.Items) > 0 {
			return page.Items[0].Event, nil
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	return e, store.ErrNotFound
}

// reviewStatistics is GET /reviews/statistics/: how often the box was wrong, as far
// as people told.
func (a *API) reviewStatistics(c *call) error {
	out := struct {
		Success bool                `json:"success"`
		False   rights.FalseMatches `json:"falseMatches"`
		Probes  int                 `json:"impostorProbes"` // searches whose right answer was known, since the start
		Best    float64             `json:"impostorBest"`   // the highest score, a cosine, of somebody wrong in them
		Above   float64             `json:"impostorShare"`  // of them in which somebody wrong scored 0.5 or more
		Open    int                 `json:"open"`
	}{Success: true}
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		if out.False, err = rights.CountFalseMatches(tx, c.Merchant); err != nil {
			return err
		}
		out.Open, err = store.Count(tx, store.ReviewsByMerchant, store.Plain(c.Merchant), store.Plain("open"))
		return err
	})
	if err != nil {
		return err
	}
	if w, ok := a.Verifier.(interface {
		Impostors(store.MerchantID) verify.Impostors
	}); ok {
		i := w.Impostors(c.Merchant)
		out.Probes, out.Best, out.Above = i.Probes, i.Best, i.Above(0.5)
	}
	return c.reply(http.StatusOK, out)
}
