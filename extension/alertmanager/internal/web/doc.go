// Package web serves what people and programs use of the alerts: an API under /api/v1/ (openapi.yaml describes it), events as they
// happen, Alertmanager's own API under /api/v2/, and a page.
//
// Every answer is JSON but for the page and the events. Requests that change something are refused when a browser sends them for
// another site.
package web
