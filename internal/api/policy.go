package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// policy is what a merchant decides for all of its sites, with the defaults filled
// in.
type policy struct {
	FMR              float64 `json:"fmr"`
	PassiveLiveness  bool    `json:"passiveLiveness"`
	LockAfter        int     `json:"livenessLockAfter"`
	LockSeconds      int     `json:"livenessLockSeconds"`
	RefuseDuplicates bool    `json:"refuseDuplicates"`
	RequireConsent   bool    `json:"requireConsent"`
	TemplateYears    int     `json:"templateYears"`
	ProposeCrops     bool    `json:"proposeCrops"`
	StaleAfterHours  int     `json:"staleAfterHours"`
}

// maxStaleHours bounds staleAfterHours: ten years.
const maxStaleHours = 87600

func (a *API) toPolicy(p *store.MerchantPolicy) policy {
	after, lasts := verify.Lock(p)
	out := policy{p.FMR, p.PassiveLiveness, after, int(lasts.Seconds()), p.RefuseDuplicates, p.ConsentRequired(a.info.Environment), p.TemplateYears, p.ProposeCrops, int(p.StaleAfter / time.Hour)}
	if out.FMR == 0 {
		out.FMR = 1e-4
	}
	return out
}

func (a *API) replyPolicy(c *call, m *store.Merchant) error {
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Policy  policy `json:"policy"`
	}{true, a.toPolicy(&m.Policy)})
}

// showPolicy is GET /merchant/policy/.
func (a *API) showPolicy(c *call) error {
	var m store.Merchant
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		m, err = store.Get[store.Merchant](tx, c.Merchant)
		return err
	})
	if err != nil {
		return err
	}
	return a.replyPolicy(c, &m)
}

// changePolicy is PUT /merchant/policy/: the fields that are there replace those
// of before.
func (a *API) changePolicy(c *call) error {
	var in struct {
		FMR              *float64 `json:"fmr"`
		PassiveLiveness  *bool    `json:"passiveLiveness"`
		LockAfter        *int     `json:"livenessLockAfter"`
		LockSeconds      *int     `json:"livenessLockSeconds"`
		RefuseDuplicates *bool    `json:"refuseDuplicates"`
		RequireConsent   *bool    `json:"requireConsent"`
		TemplateYears    *int     `json:"templateYears"`
		ProposeCrops     *bool    `json:"proposeCrops"`
		StaleAfterHours  *int     `json:"staleAfterHours"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if in.FMR != nil && !(*in.FMR >= 1e-8 && *in.FMR <= 1e-2) {
		return web.Fail(http.StatusBadRequest, "the policy is not well formed").Field("fmr", "must be from 1e-8 to 0.01")
	}
	if in.TemplateYears != nil && (*in.TemplateYears < 0 || *in.TemplateYears > 100) {
		return web.Fail(http.StatusBadRequest, "the policy is not well formed").Field("templateYears", "must be from 0 (never) to 100")
	}
	if in.StaleAfterHours != nil && (*in.StaleAfterHours < 0 || *in.StaleAfterHours > maxStaleHours) {
		return web.Fail(http.StatusBadRequest, "the policy is not well formed").Field("staleAfterHours", fmt.Sprintf("must be from 0 (never) to %d", maxStaleHours))
	}
	if in.LockAfter != nil && (*in.LockAfter < 1 || *in.LockAfter > 100) {
		return web.Fail(http.StatusBadRequest, "the policy is not well formed").Field("livenessLockAfter", "must be from 1 to 100")
	}
	if most := int(longestLock.Seconds()); in.LockSeconds != nil && (*in.LockSeconds < 1 || *in.LockSeconds > most) {
		return web.Fail(http.StatusBadRequest, "the policy is not well formed").Field("livenessLockSeconds", fmt.Sprintf("must be from 1 to %d", most))
	}
	var m store.Merchant
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		if m, err = store.Get[store.Merchant](tx, c.Merchant); err != nil {
			return err
		}
		before := a.toPolicy(&m.Policy)
		set(&m.Policy.FMR, in.FMR)
		set(&m.Policy.PassiveLiveness, in.PassiveLiveness)
		set(&m.Policy.LockAfter, in.LockAfter)
		if in.LockSeconds != nil {
			m.Policy.LockFor = time.Duration(*in.LockSeconds) * time.Second
		}
		set(&m.Policy.RefuseDuplicates, in.RefuseDuplicates)
		set(&m.Policy.TemplateYears, in.TemplateYears)
		set(&m.Policy.ProposeCrops, in.ProposeCrops)
		if in.StaleAfterHours != nil {
			m.Policy.StaleAfter = time.Duration(*in.StaleAfterHours) * time.Hour
		}
		if in.RequireConsent != nil {
			m.Policy.RequireConsent = in.RequireConsent
		}
		if err := store.Put(tx, &m); err != nil {
			return err
		}
		return notePolicy(tx, c.Merchant, "", policyChanges(before, a.toPolicy(&m.Policy)))
	})
	if err != nil {
		return err
	}
	return a.replyPolicy(c, &m)
}

func set[T any](into, given *T) {
	if given != nil {
		*into = *given
	}
}

// changes are words for what a policy was and is.
type changes []string

func (c *changes) note(name string, from, to any) {
	if from != to {
		*c = append(*c, fmt.Sprintf("%s %v to %v", name, from, to))
	}
}

// policyChanges says in words what differs.
func policyChanges(before, after policy) (words changes) {
	words.note("fmr", before.FMR, after.FMR)
	words.note("passiveLiveness", before.PassiveLiveness, after.PassiveLiveness)
	words.note("livenessLockAfter", before.LockAfter, after.LockAfter)
	words.note("livenessLockSeconds", before.LockSeconds, after.LockSeconds)
	words.note("refuseDuplicates", before.RefuseDuplicates, after.RefuseDuplicates)
	words.note("requireConsent", before.RequireConsent, after.RequireConsent)
	words.note("templateYears", before.TemplateYears, after.TemplateYears)
	words.note("proposeCrops", before.ProposeCrops, after.ProposeCrops)
	words.note("staleAfterHours", before.StaleAfterHours, after.StaleAfterHours)
	return words
}

// notePolicy puts a change of policy, of the merchant or a door, into the journal in
// words: the change of the record alone would not say from what to what.
func notePolicy(tx *store.Tx, m store.MerchantID, d store.DoorID, words changes) error {
	if len(words) == 0 {
		return nil
	}
	_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: m, Door: d, Action: "policy_change", Outcome: store.OutcomeDone, Reasons: words}, nil)
	return err
}

// pageQuery reads cursor and limit of a listing; a parameter that is neither these
// nor one of others is 400.
func pageQuery[T any](r *http.Request, others ...string) (q store.Query[T], err error) {
	v := r.URL.Query()
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if name != "cursor" && name != "limit" && !slices.Contains(others, name) {
			bad.Field(web.Clip(name, 40), "is not a parameter of this call")
		}
	}
	q.Cursor, q.Limit = store.Cursor(v.Get("cursor")), 50
	if v.Has("limit") {
		if q.Limit, err = strconv.Atoi(v.Get("limit")); err != nil || q.Limit < 1 || q.Limit > 100 {
			bad.Field("limit", "must be a whole number from 1 to 100")
		}
	}
	if bad.Details != nil {
		return q, bad
	}
	return q, nil
}
