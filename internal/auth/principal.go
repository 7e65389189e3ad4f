package auth

import (
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cypherface/edge/store"
)

// Permission is the right to one sort of operation; an API key holds them as
// scopes.
type Permission = store.Scope

// The permissions.
const (
	UsersRead        Permission = "users:read"         // names, addresses and state of people
	UsersWrite       Permission = "users:write"        // register, change, erase
	UsersExport      Permission = "users:export"       // all that is held about a person, pictures too
	Enrol            Permission = "enrol"              // give a person a face
	ImagesRead       Permission = "images:read"        // the picture that a person was enrolled with
	Match            Permission = "match"              // compare with one person, 1:1
	Detect           Permission = "detect"             // find faces in a picture
	Identify         Permission = "identify"           // search among all people, 1:N
	Capture          Permission = "camera:capture"     // take a picture with the box's camera
	CameraView       Permission = "camera:view"        // what a camera sees, live
	EventsRead       Permission = "events:read"        // the feed of what happens, by ids
	Verifications    Permission = "verifications:read" // the list of decisions, by ids
	Bulk             Permission = "users:bulk"         // enrol many at once
	Exchange         Permission = "users:exchange"     // take all people to another box, and bring them from one
	Models           Permission = "models:read"        // how a change of the pack stands, and who has to be enrolled again
	Consent          Permission = "consent"            // what people agree to: read the texts, record it, take it back
	Credentials      Permission = "credentials:manage" // give people PINs, cards and codes, and take them
	CredentialVerify Permission = "credentials:verify" // find out whose a PIN, card or code is
	Reviews          Permission = "reviews:manage"     // duplicates, look-alikes and wrong matches: settle them, merge people

	// Those of people: no key holds them as a scope.
	Keys           Permission = "keys:manage"      // make and revoke API keys
	Policy         Permission = "policy:manage"    // what the merchant decides for all, consent texts too
	AccountsRead   Permission = "accounts:read"    // who may sign in, and as what
	AccountsManage Permission = "accounts:manage"  // invite, change, suspend and remove them
	MerchantWrite  Permission = "merchant:write"   // name and phone of the merchant
	Invite         Permission = "merchants:invite" // let somebody register a merchant of his own
	Self           Permission = "account:self"     // one's own account; comes with every login
	Sites          Permission = "sites:manage"     // sites, claim codes and boxes of a central

	// Sync is what a box does at its central; its own key alone has it.
	Sync Permission = "sync"
)

// personal are the permissions that belong to people.
var personal = []Permission{Keys, Policy, AccountsRead, AccountsManage, MerchantWrite, Invite, Sites, Self}

// All lists every permission.
func All() []Permission {
	return append(Scopes(), personal...)
}

// Scopes lists what an API key can hold: all but what belongs to people.
func Scopes() []Permission {
	return []Permission{UsersRead, UsersWrite, UsersExport, Enrol, ImagesRead, Match, Detect, Identify, Capture, CameraView, EventsRead, Verifications, Bulk, Exchange, Models, Consent, Credentials, CredentialVerify, Reviews}
}

// roles says what a role may do. An integrator's key has what its scopes say.
var roles = map[store.Role][]Permission{
	store.RoleOwner:         without(All(), Self),
	store.RoleAdministrator: without(All(), Self, MerchantWrite, Invite),
	store.RoleOperator:      {UsersRead, UsersWrite, Enrol, ImagesRead, Match, Detect, Identify, Capture, CameraView, EventsRead, Verifications, Models, Consent, Credentials, CredentialVerify, Reviews},
	store.RoleAuditor:       {EventsRead, Verifications},
	store.RoleDevice:        {Match, Detect, Identify, Capture, CredentialVerify},
	store.RoleBox:           {Sync},
}

// permissions is what a credential with a role and scopes may do. Scopes narrow
// a role, and are all there is to an integrator.
func permissions(role store.Role, scopes []Permission) []Permission {
	if role == store.RoleIntegrator {
		return slices.DeleteFunc(slices.Clone(scopes), func(p Permission) bool { return !slices.Contains(Scopes(), p) })
	}
	held := slices.Clone(roles[role])
	if len(scopes) > 0 {
		held = slices.DeleteFunc(held, func(p Permission) bool { return !slices.Contains(scopes, p) })
	}
	return held
}

func without(all []Permission, gone ...Permission) []Permission {
	return slices.DeleteFunc(all, func(p Permission) bool { return slices.Contains(gone, p) })
}

// AccountRoles lists the roles that an account can have.
func AccountRoles() []store.Role {
	return []store.Role{store.RoleOwner, store.RoleAdministrator, store.RoleOperator, store.RoleAuditor}
}

// NeedsFactor reports whether a role is one that should not stand on a password
// alone: it can let others in.
func NeedsFactor(role store.Role) bool {
	return role == store.RoleOwner || role == store.RoleAdministrator
}

// A Principal is somebody whose credential was good.
type Principal struct {
	Actor       store.Actor
	Merchant    store.MerchantID // whose people he sees, and no others
	Environment store.Environment
	Role        store.Role
	Account     store.AccountID // who signed in; empty: a key, or the box's operator
	Device      store.DeviceID  // of a box that calls its central

	key    store.KeyID // that the credential stands on
	scopes []Permission
}

// Login is the login that a credential of an account belongs to.
func (p Principal) Login() store.KeyID { return p.key }

// MayGrant reports whether p may give somebody a role, change him who has it or
// take it away: it takes all that the role may do, so that nobody makes himself
// more than he is.
func (p Principal) MayGrant(role store.Role) bool {
	return slices.Contains(AccountRoles(), role) && !slices.ContainsFunc(roles[role], func(want Permission) bool { return !p.Can(want) })
}

// Operator is the principal of somebody on the box itself, who reached it
// through a socket that only its own user may open; uid is his user id.
func Operator(m store.MerchantID, env store.Environment, uid uint32) Principal {
	return Principal{
		Actor:    store.Actor{Kind: store.ActorCLI, ID: strconv.FormatUint(uint64(uid), 10)},
		Merchant: m, Environment: env, Role: store.RoleOwner, scopes: without(All(), Self),
	}
}

// Can reports whether p holds a permission. The zero Principal holds none.
func (p Principal) Can(want Permission) bool { return slices.Contains(p.scopes, want) }

// Require is Can as an error that matches ErrForbidden.
func (p Principal) Require(want Permission) error {
	if p.Can(want) {
		return nil
	}
	return fmt.Errorf("%w: it takes the permission %s", ErrForbidden, want)
}

// SignUpload returns the signature for uploading one image by a ticket until it
// expires; it goes into the URL.
func (a *Authority) SignUpload(t store.TicketID, expires time.Time) string {
	return base64.RawURLEncoding.EncodeToString(a.upload(t, expires))
}

// CheckUpload returns ErrSignature where the signature is not that of
// SignUpload, or the time is over.
func (a *Authority) CheckUpload(t store.TicketID, expires time.Time, signature string) error {
	given, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(given, a.upload(t, expires)) || !a.now().Before(expires) {
		return ErrSignature
	}
	return nil
}

func (a *Authority) upload(t store.TicketID, expires time.Time) []byte {
	return mac(a.uploads, string(t), strconv.FormatInt(expires.Unix(), 10))
}
