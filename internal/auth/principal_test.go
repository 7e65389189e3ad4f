package auth_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// What each role may do, written out: a change of the table must be meant.
func TestRolesAndPermissions(t *testing.T) {
	all := auth.All()
	owner := slices.DeleteFunc(auth.All(), func(p auth.Permission) bool { return p == auth.Self })
	administrator := slices.DeleteFunc(slices.Clone(owner), func(p auth.Permission) bool { return p == auth.MerchantWrite || p == auth.Invite })
	tests := []struct {
		role   store.Role
		scopes []auth.Permission
		want   []auth.Permission
	}{
		{store.RoleOwner, nil, owner},
		{store.RoleAdministrator, nil, administrator},
		{store.RoleOperator, nil, []auth.Permission{auth.UsersRead, auth.UsersWrite, auth.Enrol, auth.ImagesRead, auth.Match, auth.Detect, auth.Identify, auth.Capture, auth.CameraView, auth.EventsRead, auth.Verifications, auth.Models, auth.Consent, auth.Credentials, auth.CredentialVerify, auth.Reviews}},
		{store.RoleAuditor, nil, []auth.Permission{auth.EventsRead, auth.Verifications}},
		{store.RoleDevice, nil, []auth.Permission{auth.Match, auth.Detect, auth.Identify, auth.Capture, auth.CredentialVerify}},
		{store.RoleIntegrator, nil, nil},
		{store.RoleIntegrator, []auth.Permission{auth.Match}, []auth.Permission{auth.Match}},
		{store.RoleIntegrator, []auth.Permission{auth.Keys}, nil}, // keys are made by people
		{store.RoleIntegrator, []auth.Permission{auth.Policy}, nil},
		{store.RoleAuditor, []auth.Permission{auth.Match}, nil}, // scopes narrow, they do not widen
		{store.RoleOwner, []auth.Permission{auth.Match}, []auth.Permission{auth.Match}},
		{"stranger", nil, nil},
	}
	b := newBox(t, store.Sandbox)
	for _, tt := range tests {
		apiKey, key := b.NewKey(b.merchant, "", tt.role, tt.scopes...)
		b.update(t, func(tx *store.Tx) error { return store.Put(tx, &key) })
		p, err := b.Authenticate(context.Background(), []string{"Bearer " + apiKey})
		if err != nil {
			t.Fatal(err)
		}
		for _, perm := range all {
			want := slices.Contains(tt.want, perm)
			if p.Can(perm) != want {
				t.Errorf("%s %v: %s is %v", tt.role, tt.scopes, perm, !want)
			}
			if err := p.Require(perm); (err == nil) != want || err != nil && !errors.Is(err, auth.ErrForbidden) {
				t.Errorf("%s: require %s: %v", tt.role, perm, err)
			}
		}
	}
}

func TestAnOperatorOnTheBoxMayDoAll(t *testing.T) {
	p := auth.Operator("5f0c0ffee0c0ffee0c0ffee0", store.Sandbox, 1000)
	for _, perm := range auth.All() {
		if p.Can(perm) == (perm == auth.Self) { // he has no account
			t.Errorf("not %s", perm)
		}
	}
	if p.Actor != (store.Actor{Kind: store.ActorCLI, ID: "1000"}) {
		t.Errorf("actor %+v", p.Actor)
	}
	if (auth.Principal{}).Can(auth.Detect) {
		t.Error("nobody may detect")
	}
}
