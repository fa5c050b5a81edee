// Where the page begins: words, session, frame, and a page for each address. Terminal, screen, charts and guide come when wanted.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, Suspense, lazy } from "react";
import { createRoot } from "react-dom/client";
import { Route, Switch, useLocation } from "wouter";
import { AccessPage } from "./pages/access";
import { AccountsPage } from "./pages/accounts";
import { AuditPage } from "./pages/audit";
import { AuditLogPage } from "./pages/audit-log";
import { BackupsPage } from "./pages/backups";
import { DashboardPage } from "./pages/dashboard";
import { HostPage, HostsPage } from "./pages/hosts";
import { ImagesPage } from "./pages/images";
import { InstancePage } from "./pages/instance";
import { InstancesPage } from "./pages/instances";
import { JobsPage } from "./pages/jobs";
import { KeysPage } from "./pages/keys";
import { LaunchPage } from "./pages/launch";
import { NamingPage } from "./pages/naming";
import { NetworkPage } from "./pages/network";
import { NetworksPage } from "./pages/networks";
import { SecurityGroupPage, SecurityGroupsPage } from "./pages/security-groups";
import { StorageNodePage, StoragePage } from "./pages/storage";
import { VolumePage } from "./pages/volume";
import { VolumesPage } from "./pages/volumes";
import { Boundary, Empty, Failed, Loading } from "./parts/states";
import { SessionProvider } from "./session";
import { Shell } from "./shell";
import { show, theme } from "./theme";
import { useWords } from "./words/use";
import { WordsProvider } from "./words/use";
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";

const UsagePage = lazy(() => import("./pages/usage"));
const GuidePage = lazy(() => import("./pages/guide"));

const client = new QueryClient({
  // The event stream says when something changed; a page that comes back to the front looks again by itself.
  defaultOptions: { queries: { staleTime: 10_000, retry: false }, mutations: { retry: false } },
});

function Pages() {
  const { t } = useWords();
  const [place] = useLocation();
  return (
    <Boundary key={place} said={<Failed error={new Error()} />}>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/" component={DashboardPage} />
          <Route path="/instances" component={InstancesPage} />
          <Route path="/instances/new" component={LaunchPage} />
          <Route path="/instances/:id">{({ id }) => <InstancePage key={id} id={id} />}</Route>
          <Route path="/images" component={ImagesPage} />
          <Route path="/volumes" component={VolumesPage} />
          <Route path="/volumes/:id">{({ id }) => <VolumePage key={id} id={id} />}</Route>
          <Route path="/backups" component={BackupsPage} />
          <Route path="/networks" component={NetworksPage} />
          <Route path="/networks/:id">{({ id }) => <NetworkPage key={id} id={id} />}</Route>
          <Route path="/security-groups" component={SecurityGroupsPage} />
          <Route path="/security-groups/:id">{({ id }) => <SecurityGroupPage key={id} id={id} />}</Route>
          <Route path="/keys" component={KeysPage} />
          <Route path="/usage" component={UsagePage} />
          <Route path="/audit-log" component={AuditLogPage} />
          <Route path="/jobs" component={JobsPage} />
          <Route path="/access" component={AccessPage} />
          <Route path="/accounts" component={AccountsPage} />
          <Route path="/hosts" component={HostsPage} />
          <Route path="/hosts/:id">{({ id }) => <HostPage key={id} id={id} />}</Route>
          <Route path="/storage" component={StoragePage} />
          <Route path="/storage/:id">{({ id }) => <StorageNodePage key={id} id={id} />}</Route>
          <Route path="/naming" component={NamingPage} />
          <Route path="/audit" component={AuditPage} />
          <Route path="/guide" component={GuidePage} />
          <Route>
            <Empty title={t("no_such_page")} />
          </Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

show(theme());
const place = document.getElementById("app");
if (place) {
  createRoot(place).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <WordsProvider>
          <SessionProvider>
            <Shell>
              <Pages />
            </Shell>
          </SessionProvider>
        </WordsProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
