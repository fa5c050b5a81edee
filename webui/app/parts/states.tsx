// What stands where something is not (yet): loading, nothing, a refusal with its cause and next step, a broken page.

import { Component, type ReactNode } from "react";
import { Refused } from "../api/client";
import { useWords } from "../words/use";

export function Loading() {
  const { t } = useWords();
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" /> {t("loading")}
    </p>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** A refusal in the API's own words; what never reached it, in ours. */
export function Failed({ error, again, againLabel }: { error: Error; again?: () => void; againLabel?: string }) {
  const { t } = useWords();
  const body = error instanceof Refused ? error.body : {};
  const unreachable = body.reason === "offline" || body.reason === "api_unreachable";
  const sentence = unreachable ? t("failed.unreachable") : (body.message ?? t("failed.unknown"));
  const cause = unreachable ? t("failed.unreachable_cause") : body.cause;
  // The API names a header; here there is a list to choose from.
  const next = unreachable ? t("failed.unreachable_next") : body.reason === "account_needed" ? t("choose_account") : body.next_step;
  return (
    <div className="failed" role="alert">
      <p className="failed-title">{sentence}</p>
      {(cause || next) && (
        <dl>
          {cause && (
            <>
              <dt>{t("failed.cause")}</dt>
              <dd>{cause}</dd>
            </>
          )}
          {next && (
            <>
              <dt>{t("failed.next")}</dt>
              <dd>{next}</dd>
            </>
          )}
        </dl>
      )}
      {body.request_id && (
        <p className="quiet">
          {t("failed.request")} <code>{body.request_id}</code>
        </p>
      )}
      {again && (
        <button type="button" onClick={again}>
          {againLabel ?? t("again")}
        </button>
      )}
    </div>
  );
}

/** What a failed thing says of itself. */
export function Reason({ failure }: { failure: { sentence: string; cause: string; next_step: string } }) {
  const { t } = useWords();
  return (
    <div className="failed">
      <p className="failed-title">{failure.sentence}</p>
      <dl>
        <dt>{t("failed.cause")}</dt>
        <dd>{failure.cause}</dd>
        <dt>{t("failed.next")}</dt>
        <dd>{failure.next_step}</dd>
      </dl>
    </div>
  );
}

/** A page that broke says so and leaves the others alone. */
export class Boundary extends Component<{ children: ReactNode; said: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    return this.state.broken ? this.props.said : this.props.children;
  }
}
